"""`./lab ssh`: enter a server as a student does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cli import labs, options
from core import errors
from hosts import url


def run_options(parser: options.Parser) -> None:
    """Add the options of `ssh`."""
    options.stack(parser)
    parser.add_argument("server", help="the server, or USER@SERVER")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")


def run(name: str, server: str, command: Sequence[str]) -> int:
    """Replace this process by ssh on the workstation.

    Raises:
        errors.BadInputError: The lab is down, has no such server, or does not know a user of it.
    """
    lab = labs.load_up(name)
    known = {card["name"]: card["ssh"] for card in lab.cards}
    user, _, server = server.rpartition("@")
    if server not in known:
        raise errors.BadInputError(
            f"{name} has no server {server}",
            seen=f"its servers: {', '.join(known)}",
        )
    if not user and not lab.spec.post_install and not lab.spec.keys:
        raise errors.BadInputError(
            f"the users of {server} are those that its post-installation by hand created",
            do=f"name one: ./lab ssh {name} USER@{server}",
        )
    words = [*command[1:]] if command[:1] == ["--"] else [*command]
    ssh = {**known[server], "user": user} if user else known[server]
    argv = argv_of(lab.spec.workstation, ssh, words)
    sys.stderr.write(f"… {' '.join(argv)}\n")
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own


def argv_of(workstation: str, ssh: dict[str, object], words: list[str]) -> list[str]:
    """Return the argv that enters a server from a workstation.

    Args:
        workstation: The student's machine, as in the stack file.
        ssh: The server's card: {host, port, user}.
        words: The command to run there; empty for a shell.
    """
    entering = ["ssh", "-p", str(ssh["port"]), f"{ssh['user']}@{ssh['host']}", *words]
    if workstation == "none":
        return entering
    host_url = url.parse(workstation)
    if host_url.scheme == "netns":
        return ["ip", "netns", "exec", host_url.name, *entering]
    if host_url.scheme == "ssh":
        return ["ssh", "-t", *host_url.words, *entering]
    return entering
