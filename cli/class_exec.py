"""`./lab class exec`: run one command in the servers of a class in parallel, a row each."""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
import time

from classroom import class_file, runner
from cli import classroom as classes
from cli import environment
from core import errors
from hosts import connections
from providers.lxd import client, daemon
from views import classroom


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

    def act(row: runner.Row) -> str:
        try:
            done = lxd.execute(
                row.name.partition(":")[2], ["sh", "-c", text], project=projects[row.name],
                timeout=options.timeout, on_output=lambda _output: None,
            )  # fmt: skip
        except daemon.AbsentError:
            raise errors.CommandError(f"it is missing; ./lab up {row.stack} recreates it") from None
        said = (done.stdout + done.stderr).decode(errors="replace")
        pathlib.Path(row.log).write_text(said)
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        if done.status:
            raise errors.CommandError(f"exit {done.status}: {last}".rstrip(": "))
        return last

    began = time.monotonic()
    with classroom.showing(rows, as_json=options.json) as show:
        ok = runner.Runner(rows, act, show.changed).run(options.jobs, show.wait)
    sys.stderr.write(classroom.summed_up(rows, time.monotonic() - began))
    return 0 if ok else 1
