"""Shared by the class commands: the class, the chosen students, and parallel work."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from classroom import class_file, runner, snapshots
from classroom.class_file import ClassFile, Student
from cli import class_view, environment, stack
from core import errors, interrupts, problems
from stacks import files


def chosen(class_name: str, labels: Sequence[str]) -> tuple[ClassFile, list[Student]]:
    """Return the class and the students of these labels; all without a label.

    Raises:
        errors.BadInputError: The class has no student of that name; or class file and stack files
            disagree.
    """
    file = class_file.read(environment.ROOT, class_name)
    demand_states_here()
    _demand_agreement(class_name, file)
    known = {each.label: each for each in file.students}
    names = list(dict.fromkeys(labels))
    if wrong := [name for name in names if name not in known]:
        near = "".join(problems.near(name, known) for name in wrong)
        are = "is not a student" if len(wrong) == 1 else "are not students"
        if any(name.partition(":")[0] in known for name in wrong):
            near = " This command takes whole students, without a server."
        raise errors.BadInputError(
            f"{', '.join(wrong)} {are} of {class_name}.{near}",
            do=f"./lab class status {class_name} lists them",
        )
    return file, [known[name] for name in names] or list(file.students)


def strays(name: str, file: ClassFile) -> list[str]:
    """Return the stacks that are named after a class and have no student in its file."""
    root = stack.folder().parent
    own = {class_file.stack_of(name, each) for each in file.students}
    others = [each for each in class_file.names(root) if each != name]
    longer = tuple(f"{each}-" for each in others if len(each) > len(name))
    found = [
        each
        for each in files.names(stack.folder())
        if each.startswith(f"{name}-") and each not in own and not each.startswith(longer)
    ]
    # A student adele-durand of the class tp is none of the class tp-adele.
    held: set[str] = set()
    for other in others if found else ():
        with contextlib.suppress(errors.BadInputError):
            students = class_file.read(root, other).students
            held |= {class_file.stack_of(other, each) for each in students}
    return [each for each in found if each not in held]


def _demand_agreement(name: str, file: ClassFile) -> None:
    """Refuse numbers that differ from the stack files'; warn of labs without a student."""
    found, lost = [], []
    for index, student in enumerate(file.students):
        each = class_file.stack_of(name, student)
        try:
            # `pulumi config set` writes numbers as texts.
            number = str(files.read(stack.folder(), each).get("number", student.number))
        except FileNotFoundError:
            lost.append(each)
            continue
        except errors.BadInputError:
            # Its own row reports it.
            continue
        if number != str(student.number):
            reason = f"{student.number}, and stacks/Pulumi.{each}.yaml has {number}"
            found.append(f"students[{index}].number is {reason}")
    if found:
        raise errors.BadInputError(
            f"classes/{name}.yaml and the stack files disagree", seen="\n".join(found),
            do="restore the number of the stack file: the lab has that one",
        )  # fmt: skip
    left = strays(name, file)
    for each in left:
        renamed = ""
        # Only with one of each is it clear which belongs to which.
        if len(left) == len(lost) == 1:
            renamed = f"; if it is the same person: ./lab rename {each} {lost[0]}"
        sys.stderr.write(
            f"warning: stacks/Pulumi.{each}.yaml belongs to no student of {name}, and is left "
            f"alone\n  do: restore its entry in classes/{name}.yaml{renamed}; or "
            f"./lab down {each}, and ./lab remove {each}\n"
        )


def demand_states_here() -> None:
    """Refuse a backend elsewhere: commands of a class read the states in this folder.

    Raises:
        errors.BadInputError: PULUMI_BACKEND_URL names another backend.
    """
    if not stack.is_here():
        raise errors.BadInputError(
            "`lab class` reads in .state/ which labs are up, and PULUMI_BACKEND_URL keeps "
            "states elsewhere; nothing was done",
            do="unset PULUMI_BACKEND_URL, or use ./lab up STACK for each",
        )


def _post_installed(recorded: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the servers of a state that it post-installs."""
    kind = "/lxd:PostInstall"
    return {str(item["inputs"]["container"]) for item in recorded if item["type"].endswith(kind)}


def servers_up(
    name: str, file: ClassFile, only: Sequence[str]
) -> tuple[list[snapshots.Server], list[str]]:
    """Return the servers that are up, and the students whose state cannot be read.

    Args:
        name: The class.
        file: Its file.
        only: Labels, or `label:server`; empty for all.

    Raises:
        errors.BadInputError: A name is no student or server that is up, or none is up.
    """
    found = [
        snapshots.Server(
            student.label, stack_name, item["inputs"]["name"], item["inputs"]["project"],
            item["inputs"]["address"], item["inputs"]["name"] in post_installed,
            item["inputs"].get("state") == "running",
        )
        for student in file.students
        for stack_name in [class_file.stack_of(name, student)]
        for resources in [recorded(stack_name)]
        for post_installed in [_post_installed(resources)]
        for item in servers(resources)
    ]  # fmt: skip
    broken = [
        each.label
        for each in file.students
        if not is_readable(class_file.stack_of(name, each))
        and (not only or each.label in {who.partition(":")[0] for who in only})
    ]
    for each in broken:
        sys.stderr.write(f"error: {each}: its state cannot be read; ./lab up {name}-{each}\n")
    known = {*broken} | {each.student for each in found} | {each.row for each in found}
    if wrong := [each for each in only if each not in known]:
        raise errors.BadInputError(
            f"{', '.join(wrong)} is neither a student of {name} who is up nor a server of one",
            do=f"./lab class status {name} lists them",
        )
    if not found:
        raise errors.BadInputError(f"no lab of {name} is up", do=f"./lab class up {name}")
    chosen_ones = [each for each in found if not only or each.student in only or each.row in only]
    return chosen_ones, broken


def is_readable(stack_name: str) -> bool:
    """Whether a student's state can be read; each command reports an unreadable one itself."""
    try:
        stack.recorded(stack_name)
    except errors.GrappeError:
        return False
    return True


def recorded(stack_name: str) -> list[dict[str, Any]]:
    """Return the resources of a student's state; an empty list if it cannot be read."""
    return stack.recorded(stack_name) if is_readable(stack_name) else []


def is_up(stack_name: str) -> bool:
    """Whether a student's state has resources, or cannot be read."""
    return not is_readable(stack_name) or bool(recorded(stack_name))


def servers(recorded: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the containers among the resources of a state."""
    return [item for item in recorded if item["type"].endswith("/lxd:Container")]


def each(names: Sequence[str], act: Callable[[str], None]) -> None:
    """Run `act` for each stack, several at once; raise the first failure."""
    environment.apply()
    rows = [runner.Row(name, name) for name in names]

    def one(row: runner.Row) -> str:
        act(row.stack)
        return ""

    if not runner.Runner(rows, one).run(4, lambda: time.sleep(0.05)):
        wrong = next(row for row in rows if row.state != runner.DONE)
        raise errors.CommandError(f"{wrong.stack}: {wrong.text}")


def show_runs(
    runs: runner.Runner,
    interrupted: Callable[[int], None],
    *,
    jobs: int,
    as_json: bool,
    by: str = "",
) -> int:
    """Do runs, a row each, and sum them up; return the exit status.

    Args:
        runs: The runs.
        interrupted: Called with the number of each Ctrl-C or SIGTERM; no further run begins.
        jobs: How many at once.
        as_json: Whether to print JSON.
        by: The option before names of rows, as `--only `; empty if the command takes bare names.
    """
    began = time.monotonic()
    with class_view.showing(runs.rows, as_json=as_json) as show, _handled(runs, interrupted):
        ok = runs.run(jobs, show.wait, show.changed)
    sys.stderr.write(class_view.summed_up(runs.rows, time.monotonic() - began, by=by))
    return 0 if ok else 1


@contextlib.contextmanager
def _handled(runs: runner.Runner, interrupted: Callable[[int], None]) -> Iterator[None]:
    turns: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        turns.append(number)
        runs.stop()
        interrupted(len(turns))

    with interrupts.handled(interrupt):
        yield
    if turns:
        raise KeyboardInterrupt
