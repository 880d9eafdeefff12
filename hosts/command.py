"""Run argv: the module by which commands start programs and wait for them."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Self

from core import errors, interrupts

TAIL_LINES = 15


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """A command's exit status and its decoded output."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.status == 0

    def demand(self, failed: str, do: str = "") -> Self:
        """Return a success; raise CommandError that says `failed` for anything else."""
        if not self.ok:
            raise errors.CommandError(failed, seen=self.tail(), do=do)
        return self

    def tail(self) -> str:
        """Return the last lines of the command's output."""
        output = (self.stderr.strip() + "\n" + self.stdout.strip()).strip()
        return "\n".join(output.splitlines()[-TAIL_LINES:])


def execute(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run argv on this machine and wait for it.

    Args:
        argv: The program and its arguments; no shell reads them.
        stdin: The program's input; empty by default.
        timeout: Seconds after which the program is killed.
        env: The whole environment, or None for our own.

    Raises:
        errors.CommandError: The program is missing or did not end in time.
    """
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, timeout=timeout, env=env, check=False
        )
    except FileNotFoundError as error:
        raise errors.CommandError(
            f"{argv[0]} is not installed on this machine",
            do=f"install the package that has {argv[0]}, then run this again",
        ) from error
    except subprocess.TimeoutExpired as error:
        output = ((error.stderr or b"") + (error.stdout or b"")).decode(errors="replace")
        raise errors.CommandError(
            f"`{shlex.join(argv)[:200]}` did not end within {timeout:g} s", seen=output[-2000:]
        ) from error
    return CommandResult(
        tuple(argv),
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


def start(argv: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start argv with pipes for its input and output, its errors into `log`.

    It gets a session of its own: a Ctrl-C is for the engine, which then ends us in good order.
    """
    return subprocess.Popen(
        list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def spawn(argv: Sequence[str], *, log: str) -> subprocess.Popen[bytes]:
    """Start argv in a session of its own, its output in the file `log`."""
    with open(log, "ab") as output:  # noqa: PTH123
        return subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def wait_until(
    condition: Callable[[], bool], *, what: str, timeout: float, pause: float = 0.1
) -> None:
    """Call `condition` until it is true; raise NotReadyError naming `what` after `timeout`."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise errors.NotReadyError(f"waited {timeout:g} s for {what}")
        time.sleep(pause)


def attach(
    argv: Sequence[str], stdout: IO[str] | None = None, env: Mapping[str, str] | None = None
) -> int:
    """Run argv with our own standard streams, or another output; return its exit status.

    A Ctrl-C of the terminal reaches it too; an interrupt or a SIGTERM of this process alone is
    passed on to it. We wait until it has handled it.
    """
    child = subprocess.Popen(list(argv), stdout=stdout, env=env)
    received: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        received.append(number)
        if number == signal.SIGTERM or not _is_foreground():
            child.send_signal(signal.SIGINT)

    with interrupts.handled(interrupt):
        status = child.wait()
    if received and status != 0:
        raise KeyboardInterrupt
    return status


def _is_foreground() -> bool:
    """Whether this process is one that a terminal's Ctrl-C reaches, with its children."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
