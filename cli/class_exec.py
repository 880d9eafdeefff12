"""`./lab class exec`: run one command in the servers of a class in parallel, a row each."""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
import time
from collections.abc import Sequence

from classroom import class_file, runner
from classroom.class_file import ClassFile
from cli import classroom as classes
from cli import environment, stack
from core import errors
from hosts import connections
from providers.lxd import daemon
from views import classroom


def run(options: argparse.Namespace) -> int:
    """Run a command as root in each server that is up; exit 0 if it does in all, else 1.

    Raises:
        errors.BadInputError: The command is missing, or no server is up.

    """
    words = options.command
    if not words:
        raise errors.BadInputError("which command?", do="./lab class exec CLASS -- uptime")
    made = class_file.read(environment.ROOT, options.name)
    classes.demand_states_here()
    chosen = _servers(options.name, made, options.only or [])
    environment.apply()
    lxd = daemon.on(connections.connect(made.host))
    folder = environment.STATE / "logs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        runner.Row(f"{label}:{server}", name, log=str(folder / f"exec-{label}-{server}.log"))
        for label, name, server, _project in chosen
    ]
    projects = {f"{label}:{server}": project for label, _name, server, project in chosen}
    # One word is a whole shell line; several are a program and its arguments.
    text = words[0] if len(words) == 1 else shlex.join(words)

    def act(row: runner.Row) -> str:
        try:
            done = lxd.execute(
                row.name.partition(":")[2], ["sh", "-c", text], project=projects[row.name],
                timeout=options.timeout, tell=lambda _said: None,
            )  # fmt: skip
        except daemon.AbsentError:
            raise errors.CommandError(f"it is gone; ./lab up {row.stack} makes it again") from None
        said = (done.stdout + done.stderr).decode(errors="replace")
        pathlib.Path(row.log).write_text(said)
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        if done.status:
            raise errors.CommandError(f"exit {done.status}: {last}".rstrip(": "))
        return last

    began = time.monotonic()
    with classroom.showing(rows, as_json=options.json) as show:
        well = runner.Runner(rows, act, show.changed).run(options.jobs, show.wait)
    sys.stderr.write(classroom.summed_up(rows, time.monotonic() - began))
    return 0 if well else 1


def _servers(name: str, made: ClassFile, only: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return the servers that are up, each as student's label, stack, name and LXD project.

    Args:
        name: The class.
        made: Its file.
        only: Labels, or `label:server`; empty for all.

    """
    found = [
        (student.label, stack_name, item["inputs"]["name"], item["inputs"]["project"])
        for student in made.students
        for stack_name in [class_file.stack_of(name, student)]
        for item in stack.recorded(stack_name)
        if item["type"].endswith("/lxd:Container")
    ]
    known = {label for label, *_rest in found}
    known |= {f"{label}:{server}" for label, _stack, server, _project in found}
    if wrong := [each for each in only if each not in known]:
        raise errors.BadInputError(
            f"{', '.join(wrong)} is no student of {name} who is up, and no server of one",
            do=f"./lab class status {name} lists them",
        )
    if not found:
        raise errors.BadInputError(f"nobody of {name} is up", do=f"./lab class up {name}")
    return [each for each in found if not only or each[0] in only or f"{each[0]}:{each[2]}" in only]
