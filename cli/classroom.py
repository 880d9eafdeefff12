"""Shared by the class commands: the class, the chosen students, and parallel work."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classroom import class_file, runner
from classroom.class_file import ClassFile, Student
from cli import environment, stack
from core import errors, problems


def chosen(options: argparse.Namespace) -> tuple[ClassFile, list[Student]]:
    """Return the class and the named students; all if none is named.

    Raises:
        errors.BadInputError: The class has no student of that name.

    """
    made = class_file.read(environment.ROOT, options.name)
    demand_states_here()
    known = {each.label: each for each in made.students}
    names = list(dict.fromkeys(options.students))
    if wrong := [name for name in names if name not in known]:
        near = "".join(problems.near(name, known) for name in wrong)
        raise errors.BadInputError(
            f"{', '.join(wrong)} is no student of {options.name}.{near}",
            do=f"./lab class status {options.name} lists them",
        )
    return made, [known[name] for name in names] or list(made.students)


def demand_states_here() -> None:
    """Refuse states outside this folder: here we read which labs are up.

    Raises:
        errors.BadInputError: PULUMI_BACKEND_URL names another backend.

    """
    if not stack.is_here():
        raise errors.BadInputError(
            "`lab class` reads in .state/ which labs are up, and PULUMI_BACKEND_URL keeps "
            "states elsewhere; nothing was done",
            do="unset PULUMI_BACKEND_URL, or use ./lab up STACK for each",
        )


def servers(recorded: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the containers among the resources of a state."""
    return [item for item in recorded if item["type"].endswith("/lxd:Container")]


def each(names: Sequence[str], act: Callable[[str], None], at_once: int = 4) -> None:
    """Run `act` for each stack, several at once; raise the first failure."""
    environment.apply()
    rows = [runner.Row(name, name) for name in names]

    def one(row: runner.Row) -> str:
        act(row.stack)
        return ""

    if not runner.Runner(rows, one).run(at_once, lambda: time.sleep(0.05)):
        wrong = next(row for row in rows if row.state != runner.DONE)
        raise errors.CommandError(f"{wrong.stack}: {wrong.text}")
