"""Run commands on a sandbox's workstation, as a student would."""

from __future__ import annotations

from core import errors
from hosts import command
from sandbox.layout import HOST_ADDRESS, Layout

# ssh gets the password from a program that reads it from its environment: no argv shows it.
_LOGIN = """\
umask 077
asked=$(mktemp)
trap 'rm -f "$asked"' EXIT
printf '#!/bin/sh\\nprintf "%%s\\\\n" "$GRAPPE_ASKED"\\n' > "$asked"
chmod 700 "$asked"
read -r GRAPPE_ASKED
export GRAPPE_ASKED SSH_ASKPASS="$asked" SSH_ASKPASS_REQUIRE=force
ssh -q -o PubkeyAuthentication=no -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -p "$1" "$2" "$3" < /dev/null
"""


def run(layout: Layout, argv: list[str], *, stdin: bytes = b"") -> str:
    """Run a command there; return its output.

    Raises:
        errors.NotReadyError: The command failed.
    """
    full = ["ip", "netns", "exec", layout.workstation, *argv]
    done = command.execute(full, stdin=stdin, timeout=60)
    if not done.ok:
        shown = " ".join(argv) if len(argv[-1]) < 200 else argv[0]  # noqa: PLR2004
        raise errors.NotReadyError(f"`{shown}` failed on the workstation", seen=done.tail())
    return done.stdout


def login(
    layout: Layout, user: str, port: int, password: str, command_there: str = "hostname -s"
) -> str:
    """Log in through a forward with a password; return a command's output."""
    argv = ["sh", "-c", _LOGIN, "sh", str(port), f"{user}@{HOST_ADDRESS}", command_there]
    return run(layout, argv, stdin=f"{password}\n".encode()).strip()
