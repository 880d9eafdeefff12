"""Run a program in an instance, and keep it out of LXD's operation.

LXD shows the argv and the environment of its programs to whoever lists its
operations. So the program travels as a file of root's in the instance's /run,
and LXD runs that file, which first removes itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time

from core import errors
from providers.lxd import daemon
from providers.lxd.script import Lines, OnLine, Script, SecretMask, render

TAIL_LINES = 20
# The exit status of `timeout` when it ended the program, and when it killed it; a stop of the
# instance gives the second too.
ENDED, KILLED = 124, 137
# Seconds to wait for LXD's operation beyond the program's own time-out.
GRACE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A program's result, without its secrets.

    Attributes:
        status: Its exit status.
        stdout: Its standard output.
        stderr: Its standard error.
        timed_out: Whether the time-out ended it.
    """

    status: int
    stdout: str
    stderr: str
    timed_out: bool = False

    def tail(self) -> str:
        """Return the last lines of its output."""
        output = f"{self.stdout.strip()}\n{self.stderr.strip()}".strip()
        return "\n".join(output.splitlines()[-TAIL_LINES:])


def output(lxd: daemon.Daemon, project: str, instance: str, argv: list[str], seconds: float) -> str:
    """Run a program that handles no secret; return its standard output."""
    done = lxd.execute(instance, argv, project=project, timeout=seconds)
    return done.stdout.decode(errors="replace")


def wait_for_boot(lxd: daemon.Daemon, project: str, instance: str, seconds: float) -> None:
    """Wait until a system is up, also one with a failed unit."""
    output(lxd, project, instance, ["systemctl", "is-system-running", "--wait"], seconds)


def run(
    lxd: daemon.Daemon,
    project: str,
    instance: str,
    script: Script,
    on_line: OnLine = lambda _line: None,
) -> Outcome:
    """Run a script in an instance, as root or as its user.

    Args:
        lxd: The daemon.
        project: The instance's project.
        instance: The instance, which must be running.
        script: What to run.
        on_line: Called with each line of its output.

    Raises:
        errors.DaemonError: LXD refuses, for example because the instance is stopped.
    """
    mask = SecretMask(script)
    started = time.monotonic()
    path = f"/run/grappe-exec-{secrets.token_hex(8)}"
    try:
        lxd.write_file(
            f"instances/{instance}/files", render(script).encode(), project=project, file=path,
            headers={"X-LXD-type": "file", "X-LXD-uid": "0", "X-LXD-gid": "0",
                     "X-LXD-mode": "0600"},
        )  # fmt: skip
        lines = Lines(lambda line: on_line(mask(line)))
        try:
            done = lxd.execute(
                instance, ["sh", path], project=project, on_output=lines.feed,
                timeout=script.waits + script.timeout + GRACE_SECONDS,
            )  # fmt: skip
        except errors.DaemonError:
            # The file removes itself when it runs, but it may not have run.
            with contextlib.suppress(daemon.AbsentError, errors.DaemonError):
                lxd.remove_file(f"instances/{instance}/files", project=project, file=path)
            raise
        lines.end()
    except daemon.AbsentError as error:
        raise errors.DaemonError(
            f"a program cannot run in {project}/{instance}: there is no such container",
            do="./lab up of its stack recreates it",
        ) from error
    late = time.monotonic() - started >= script.waits + script.timeout
    return Outcome(
        done.status,
        mask(done.stdout.decode(errors="replace")),
        mask(done.stderr.decode(errors="replace")),
        timed_out=done.status == ENDED or (late and done.status == KILLED),
    )
