"""`./lab class exec`: run one command in the servers of a class in parallel, a row each."""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Sequence

from classroom import class_file, runner
from cli import classroom as classes
from cli import environment, options
from core import errors
from core.run import current
from hosts import connections
from providers.lxd import client, daemon

# The exit status of `timeout` past its deadline; the seconds from its SIGTERM to its SIGKILL.
TIMED_OUT, GRACE_SECONDS = 124, 5


def run_options(parser: options.Parser) -> None:
    """Add the options of `exec`."""
    options.class_name(parser)
    text = "only these students, or servers of theirs: adele zoe:yuno2"
    parser.add_argument("--only", nargs="+", default=[], metavar="STUDENT[:SERVER]", help=text)
    options.jobs(parser, 4 * options.JOBS)
    parser.add_argument("--timeout", type=options.count, default=60, help="seconds for each (60)")
    options.as_json(parser, "the same facts as JSON, one line for each server")
    parser.usage = f"{parser.prog} [options] CLASS -- COMMAND..."
    parser.epilog = (
        "The command follows --. A single word is a line for sh; several are a program and its "
        "arguments. Root on the lab host can read the command while it runs."
    )
    parser.set_defaults(command=[])


def run(
    name: str, command: Sequence[str], only: Sequence[str], *,
    timeout: int, jobs: int, as_json: bool,
) -> int:  # fmt: skip
    """Run a command as root in each server that is up; exit 0 if it does in all, else 1.

    Raises:
        errors.BadInputError: The command is missing, or no server is up.
    """
    if not command:
        raise errors.BadInputError("the command is missing", do="./lab class exec CLASS -- uptime")
    file = class_file.read(environment.ROOT, name)
    classes.demand_states_here()
    chosen, broken = classes.servers_up(name, file, only)
    environment.apply()
    lxd = client.on(connections.connect(file.host))
    folder = environment.STATE / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        runner.Row(
            server.row, server.stack, log=str(folder / f"exec-{server.student}-{server.name}.log")
        )
        for server in chosen
    ]
    projects = {server.row: server.project for server in chosen}
    # One word is a whole shell line; several are a program and its arguments.
    text = command[0] if len(command) == 1 else shlex.join(command)
    # `timeout` ends it in the server even if this process dies. Busybox knows no long options.
    bounded = ["timeout", "-k", f"{GRACE_SECONDS}", f"{timeout}"]

    def act(row: runner.Row) -> str:
        try:
            done = lxd.execute(
                row.name.partition(":")[2], [*bounded, "sh", "-c", text],
                project=projects[row.name], timeout=timeout + 2 * GRACE_SECONDS,
            )  # fmt: skip
        except errors.GrappeError as error:
            raise _row_error(error, name, row) from None
        output = (done.stdout + done.stderr).decode(errors="replace")
        pathlib.Path(row.log).write_text(output)
        # A student's program may print a terminal's escape sequences.
        last = errors.escape(next((x for x in reversed(output.splitlines()) if x.strip()), ""))
        if done.status == TIMED_OUT:
            words = f"it did not end within {timeout} s: {last}"
            raise errors.CommandError(words.rstrip(": "))
        if done.status:
            raise errors.CommandError(f"exit {done.status}: {last}".rstrip(": "))
        return last

    def interrupted(_turn: int) -> None:
        # Stop waiting; the commands that have begun go on until `timeout` ends them.
        current().cancelled.set()
        sys.stderr.write(
            f"interrupted: commands that have begun go on in their servers, at most {timeout:g} s\n"
        )

    runs = runner.Runner(rows, act)
    status = classes.show_runs(runs, interrupted, jobs=jobs, as_json=as_json, by="--only ")
    return status or int(bool(broken))


def _row_error(error: errors.GrappeError, name: str, row: runner.Row) -> errors.GrappeError:
    """Return an error as one sentence for a server's row, with its remedy."""
    if current().cancelled.is_set():
        return errors.CommandError("interrupted; the command goes on in the server")
    if isinstance(error, daemon.AbsentError):
        return errors.CommandError(f"it is missing; ./lab up {row.stack} recreates it")
    if isinstance(error, errors.DaemonError) and "Command not found" in error.seen:
        return errors.CommandError("exit 127: there is no such program")
    if isinstance(error, errors.DaemonError) and "not running" in error.seen:
        student = row.name.partition(":")[0]
        return errors.CommandError(
            f"it does not run: if asleep, ./lab class wake {name} {student}; else "
            f"./lab up {row.stack}"
        )
    return error
