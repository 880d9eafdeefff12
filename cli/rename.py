"""`./lab rename`: give a lab another name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from cli import environment, new, options, stack
from core import errors, problems, validators
from engine.stack import Stack
from stacks import files, neighbours, settings, spec


def run_options(parser: options.Parser) -> None:
    """Add the options of `rename`."""
    parser.add_argument("old", help="the stack")
    parser.add_argument("name", help="its new name")


def run(old: str, name: str) -> int:
    """Rename a stack, and pin settings derived from its name; the next `up` renews the marks.

    Raises:
        errors.BadInputError: The stack does not exist, or the new name is taken or invalid,
            as a stack's or, for a lab that is down, as a student's.
    """
    if problem := validators.problem_of_stack(name):
        raise errors.BadInputError(f"{problems.show(name)} {problem}")
    done = _is_done(old, name)
    if not done and stack.file_of(name).exists():
        raise errors.BadInputError(
            f"stacks/Pulumi.{name}.yaml exists already", do="choose another name"
        )
    selected = stack.select(name if done else old)
    stack.ready(selected)
    stack.state_of(selected.name).demand_whole(history=True)
    config = files.read(stack.folder(), selected.name)
    if config.get("kind", "student") != "student":
        raise errors.BadInputError(
            f"{selected.name} is not a student's lab: its resources carry its name",
            do="take it down, and create one with the new name",
        )
    others = {
        each: text for each, text in files.others(stack.folder(), old).items() if each != name
    }
    ours = [item for item in stack.resources(selected) if "owner" in (item.get("inputs") or {})]
    student = f"{settings.NAMESPACE}:student"
    if not ours:
        _demand_free(name, {**config, "student": name}, others)
        # The lab has no resources with the old name yet.
        selected.set_plain(student, name)
    elif not config.get("student"):
        selected.set_plain(student, old)
    lab = str(config.get("id") or "") or new.new_id()
    if not config.get("id"):
        selected.set_plain(f"{settings.NAMESPACE}:id", lab)
    if any(str(item["inputs"].get("lab") or "") != lab for item in ours):
        _mark_by_name(selected, old, done=done)
    if not done:
        selected.rename(name)
    for path in stack.state_of(old).traces(stack.engine_home()):
        # Remove files of the old name; the state itself has moved.
        path.unlink(missing_ok=True)
    sys.stderr.write(
        f"{old} is {name} now; its servers, ports and domains stay as the stack file says.\n"
        f"To update its marks on the host: ./lab up {name}\n"
    )
    return 0


def _demand_free(
    name: str, config: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a new student's name that is none, or that another stack file has.

    Raises:
        errors.BadInputError: All that is wrong with it.
    """
    key = f"{settings.NAMESPACE}:student"
    taken = neighbours.conflicts(name, config, others)
    wrong = [each for each in taken if each.key == key]
    if problem := spec.student_problem(name):
        wrong.append(problems.Mistake(key, f"{problems.show(name)} {problem}"))
    if wrong:
        raise errors.BadInputError(problems.summary(wrong))


def _is_done(old: str, name: str) -> bool:
    """Whether Pulumi has already renamed the stack.

    Raises:
        errors.BadInputError: Neither the old nor the renamed stack exists.
    """
    if stack.file_of(old).exists() or not stack.file_of(name).exists():
        return False
    owners = {
        str((item.get("inputs") or {}).get("owner") or "") for item in stack.recorded(name)
    } - {""}
    if owners and owners <= {f"{stack.PROJECT}/{old}", f"{stack.PROJECT}/{name}"}:
        return True
    raise errors.BadInputError(
        f"there is no stack {old}, and {name} is not its new name",
        seen=f"the state of {name} belongs to {', '.join(sorted(owners)) or 'nobody'}",
    )


def _mark_by_name(selected: Stack, old: str, *, done: bool) -> None:
    """Bring up a lab that is older than ids once under its old name, so that it carries its id."""
    if not stack.servers(selected):
        return
    under = selected
    if done:
        selected.rename(old)
        under = Stack(old, environment.ROOT)
    try:
        # This run may delete nothing.
        stack.run(under, *stack.UP, rebuild="")
    finally:
        if done:
            under.rename(selected.name)
