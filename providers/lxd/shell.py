"""Running a program in an instance, with nothing of it in LXD's operation.

LXD shows the argv and the environment of what it runs to whoever lists its
operations. So the program travels as a file of root's in the instance's /run,
which removes itself before it begins, and LXD runs that file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time

from core import errors
from providers.lxd import daemon
from providers.lxd.job import Hider, Job, Lines, Say, render

TAIL_LINES = 20
# What `timeout` exits with when it had to end the program, and when it had to kill it, which
# whoever stops the instance does too.
ENDED, KILLED = 124, 137
# Seconds more than the program's own time before LXD's operation is given up.
GRACE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a program left; what is secret of it is hidden.

    Attributes:
        status: Its exit status.
        stdout: What it wrote.
        stderr: What it complained of.
        timed_out: Whether it was ended for taking too long.
    """

    status: int
    stdout: str
    stderr: str
    timed_out: bool = False

    def tail(self) -> str:
        """Return the last lines of what it said."""
        said = f"{self.stdout.strip()}\n{self.stderr.strip()}".strip()
        return "\n".join(said.splitlines()[-TAIL_LINES:])


def run(
    lxd: daemon.Daemon, project: str, instance: str, job: Job, say: Say = lambda _line: None
) -> Outcome:
    """Run a job in an instance, as root or as its user.

    Args:
        lxd: The daemon.
        project: The instance's project.
        instance: The instance, which must be running.
        job: What to run.
        say: Called with each line that it says.

    Raises:
        errors.DaemonError: LXD refuses, for one because the instance is stopped.

    """
    hide = Hider(job)
    started = time.monotonic()
    path = f"/run/grappe-exec-{secrets.token_hex(8)}"
    try:
        lxd.write_file(
            f"instances/{instance}/files", render(job).encode(), project=project, file=path,
            headers={"X-LXD-type": "file", "X-LXD-uid": "0", "X-LXD-gid": "0",
                     "X-LXD-mode": "0600"},
        )  # fmt: skip
        lines = Lines(lambda line: say(hide(line)))
        try:
            done = lxd.execute(
                instance, ["sh", path], project=project, timeout=job.timeout + GRACE_SECONDS,
                tell=lines.feed,
            )  # fmt: skip
        except errors.DaemonError:
            # It removes itself when it runs; it may not have.
            with contextlib.suppress(daemon.AbsentError, errors.DaemonError):
                lxd.remove_file(f"instances/{instance}/files", project=project, file=path)
            raise
        lines.end()
    except daemon.AbsentError as error:
        raise errors.DaemonError(
            f"there is no container {instance} in the project {project} to run anything in"
        ) from error
    late = time.monotonic() - started >= job.timeout
    return Outcome(
        done.status,
        hide(done.stdout.decode(errors="replace")),
        hide(done.stderr.decode(errors="replace")),
        timed_out=done.status == ENDED or (late and done.status == KILLED),
    )
