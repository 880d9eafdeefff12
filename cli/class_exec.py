"""`./lab class exec`: run one command in the servers of a class in parallel, a row each."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import shlex
import sys
import threading
import time
from collections.abc import Iterator

from classroom import class_file, runner
from cli import classroom as classes
from cli import environment
from core import errors, interrupts
from core.run import current
from hosts import connections
from providers.lxd import client, daemon
from views import classroom

# The status of `timeout` where the command did not end in time; and seconds until it is killed.
TIMED_OUT, GRACE_SECONDS = 124, 5


def run(options: argparse.Namespace) -> int:
    """Run a command as root in each server that is up; exit 0 if it does in all, else 1.

    Raises:
        errors.BadInputError: The command is missing, or no server is up.

    """
    words = options.command
    if not words:
        raise errors.BadInputError("which command?", do="./lab class exec CLASS -- uptime")
    file = class_file.read(environment.ROOT, options.name)
    classes.demand_states_here()
    chosen = classes.servers_up(options.name, file, options.only or [])
    environment.apply()
    lxd = client.on(connections.connect(file.host))
    folder = environment.STATE / "logs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        runner.Row(
            server.row, server.stack, log=str(folder / f"exec-{server.student}-{server.name}.log")
        )
        for server in chosen
    ]
    projects = {server.row: server.project for server in chosen}
    # One word is a whole shell line; several are a program and its arguments.
    text = words[0] if len(words) == 1 else shlex.join(words)
    # It ends in the server too, whatever becomes of this command. Busybox knows no long options.
    bounded = ["timeout", "-k", f"{GRACE_SECONDS}", f"{options.timeout:g}"]

    def act(row: runner.Row) -> str:
        try:
            done = lxd.execute(
                row.name.partition(":")[2], [*bounded, "sh", "-c", text],
                project=projects[row.name], timeout=options.timeout + 2 * GRACE_SECONDS,
                on_output=lambda _output: None,
            )  # fmt: skip
        except errors.GrappeError as error:
            raise _in_words(error, options.name, row) from None
        said = (done.stdout + done.stderr).decode(errors="replace")
        pathlib.Path(row.log).write_text(said)
        # What a student's programs print may be meant for a terminal.
        last = errors.escape(next((x for x in reversed(said.splitlines()) if x.strip()), ""))
        if done.status == TIMED_OUT:
            words = f"it did not end within {options.timeout:g} s: {last}"
            raise errors.CommandError(words.rstrip(": "))
        if done.status:
            raise errors.CommandError(f"exit {done.status}: {last}".rstrip(": "))
        return last

    began = time.monotonic()
    with classroom.showing(rows, as_json=options.json) as show:
        runs = runner.Runner(rows, act, show.changed)
        with _interruptible(runs, options.timeout):
            ok = runs.run(options.jobs, show.wait)
    sys.stderr.write(classroom.summed_up(rows, time.monotonic() - began, by="--only "))
    return 0 if ok else 1


def _in_words(error: errors.GrappeError, name: str, row: runner.Row) -> errors.GrappeError:
    """Return the error of a server's row with what to do, as one sentence."""
    if current().cancelled.is_set():
        return errors.CommandError("interrupted; it goes on there")
    if isinstance(error, daemon.AbsentError):
        return errors.CommandError(f"it is missing; ./lab up {row.stack} recreates it")
    if isinstance(error, errors.DaemonError) and "not running" in error.seen:
        student = row.name.partition(":")[0]
        return errors.CommandError(
            f"it does not run: if asleep, ./lab class wake {name} {student}; else "
            f"./lab up {row.stack}"
        )
    return error


@contextlib.contextmanager
def _interruptible(runs: runner.Runner, seconds: float) -> Iterator[None]:
    """On a Ctrl-C or SIGTERM wait for no command, and say that those begun go on."""
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        interrupted.set()
        runs.stop()
        current().cancelled.set()
        sys.stderr.write(f"the command goes on where it runs, for at most {seconds:g} s\n")

    with interrupts.handled(interrupt):
        yield
    if interrupted.is_set():
        raise KeyboardInterrupt
