"""`./lab class status|check|card`: show a class's recorded state, checks and cards."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from classroom import class_file
from cli import card as lab_card
from cli import check as lab_check
from cli import class_view, environment, labs, options, progress, stack
from cli import classroom as classes
from core import errors
from stacks import files
from views import class_cards

status_options = check_options = card_options = options.students


def status(name: str, students: Sequence[str], *, as_json: bool) -> int:
    """Print each student's recorded state; contact no host."""
    file, chosen = classes.chosen(name, students)
    rows = []
    for student in chosen:
        stack_name = class_file.stack_of(name, student)
        recorded = classes.recorded(stack_name)
        servers = classes.servers(recorded)
        state = _state(stack_name, recorded, servers)
        rows.append({"student": student.label, "name": student.name, "stack": stack_name,
                     "number": student.number, "state": state,
                     "servers": len(servers)})  # fmt: skip
    found = {"class": name, "host": file.host, "students": rows}
    progress.answer(found, class_view.status(rows), as_json=as_json)
    return 0


def _state(
    name: str, recorded: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]
) -> str:
    """Return a student's recorded state in words."""
    try:
        files.read(stack.folder(), name)
        lack = ""
    except FileNotFoundError:
        lack = "no stack file"
    except errors.BadInputError:
        lack = "its stack file cannot be read"
    if not classes.is_readable(name):
        return "its state cannot be read"
    if not servers:
        return lack or ("begun, and not finished" if labs.has_made(recorded) else "down")
    whole = any((item.get("outputs") or {}).get("servers") for item in recorded)
    stopped = all(item["inputs"].get("state") == "stopped" for item in servers)
    state = ("asleep" if stopped else "up") if whole else "its `up` did not end"
    return f"{state}; {lack}" if lack else state


def check(name: str, students: Sequence[str], *, as_json: bool) -> int:
    """Try every way to every server of the class; exit 0 without faults, 1 with, 2 on an error."""
    _made, chosen = classes.chosen(name, students)
    names = [class_file.stack_of(name, each) for each in chosen]
    up_now = [each for each in names if classes.is_up(each)]
    rows, drifts, unchecked = lab_check.check_labs(up_now)
    down = {
        each.label: f"./lab class up {name} {each.label}"
        for each, stack_name in zip(chosen, names, strict=True)
        if stack_name not in up_now
    }
    return lab_check.report(rows, drifts, unchecked, as_json=as_json, down=down)


def card(name: str, students: Sequence[str], *, as_json: bool) -> int:
    """Write a printable page a student, and a table of the same facts; both hold passwords.

    Raises:
        errors.BadInputError: No lab of the class is up, or no card can be made.
        errors.CommandError: A lab host does not answer.
    """
    _made, chosen = classes.chosen(name, students)
    facts: dict[str, dict[str, Any]] = {}
    named = {class_file.stack_of(name, each): each for each in chosen}

    broken: list[str] = []

    def collect(stack_name: str) -> None:
        try:
            lab = labs.load_up(stack_name)
        except errors.BadInputError as error:
            broken.append(f"error: {stack_name}: {error}\n")
            return
        facts[stack_name] = class_cards.student(
            lab.spec, lab_card.with_fingerprints(lab.spec, lab.cards), name=named[stack_name].name,
            password=labs.password(stack_name) if lab.spec.post_install else "",
            locale=environment.language(),
        )  # fmt: skip

    up_now = [
        each
        for each in named
        if not classes.is_readable(each) or classes.servers(classes.recorded(each))
    ]
    if not up_now:
        raise errors.BadInputError(f"no lab of {name} is up", do=f"./lab class up {name}")
    classes.each(up_now, collect)
    sys.stderr.write("".join(sorted(broken)))
    ordered = [facts[each] for each in up_now if each in facts]
    if not ordered:
        raise errors.BadInputError(
            f"no card of {name} can be made: each lab that is up failed, see above",
            do=f"./lab class up {name}, then repeat this",
        )
    folder = class_file.path_of(environment.ROOT, name).parent
    written: list[str] = []
    for suffix, text in (
        ("html", class_cards.page(name, ordered)),
        ("csv", class_cards.table(ordered)),
    ):
        path = folder / f"{name}-cards.{suffix}"
        path.touch(mode=0o600)
        path.write_text(text)
        written.append(f"classes/{path.name}")
    missing = [each.label for key, each in named.items() if key not in facts]
    found = {"class": name, "files": written, "missing": missing}
    progress.answer(found, "".join(f"{path}\n" for path in written), as_json=as_json)
    if missing:
        sys.stderr.write(f"without a card (down, or see above): {', '.join(missing)}\n")
    return 0 if not missing else 1
