"""`./lab class status|check|card`: show a class's recorded state, checks and cards."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from classroom import class_file
from cli import card as lab_card
from cli import check as lab_check
from cli import classroom as classes
from cli import drift, environment, labs, stack
from core import errors
from views import class_cards, classroom
from views.check import Row


def status(options: argparse.Namespace) -> int:
    """Print each student's recorded state, without any host."""
    file, students = classes.chosen(options)
    rows = []
    for student in students:
        name = class_file.stack_of(options.name, student)
        recorded = stack.recorded(name)
        servers = classes.servers(recorded)
        state = _state(name, recorded, servers)
        rows.append({"student": student.label, "name": student.name, "stack": name,
                     "number": student.number, "state": state,
                     "servers": len(servers)})  # fmt: skip
    if options.json:
        sys.stdout.write(
            json.dumps({"class": options.name, "host": file.host, "students": rows}) + "\n"
        )
    else:
        sys.stdout.write(classroom.status(rows))
    return 0


def _state(
    name: str, recorded: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]
) -> str:
    """Return a student's recorded state in words."""
    here = stack.file_of(name).exists()
    if not servers:
        return "down" if here else "no stack file"
    whole = any((item.get("outputs") or {}).get("servers") for item in recorded)
    stopped = all(item["inputs"].get("state") == "stopped" for item in servers)
    state = ("asleep" if stopped else "up") if whole else "its `up` did not end"
    return state if here else f"{state}; no stack file"


def check(options: argparse.Namespace) -> int:
    """Try every way to every server of the class; exit 0 without faults, 1 with, 2 on an error."""
    drift.preload()
    _made, students = classes.chosen(options)
    rows: list[Row] = []
    drifts: dict[str, Any] = {}
    blind: list[str] = []
    lock = threading.Lock()

    def check_one(name: str) -> None:
        try:
            checked_rows, found = lab_check.check_lab(name)
        except errors.GrappeError as error:
            with lock:
                blind.append(f"{name}: {error}")
            return
        with lock:
            rows.extend(checked_rows)
            drifts[name] = found

    names = [class_file.stack_of(options.name, each) for each in students]
    classes.each(
        [name for name in names if stack.recorded(name)], check_one, at_once=lab_check.TOGETHER
    )
    order = [each.label for each in students]
    down = {
        label: f"./lab class up {options.name} {label}"
        for label, name in zip(order, names, strict=True)
        if not stack.recorded(name)
    }
    rows.sort(key=lambda row: (order.index(row.student), row.server))
    return lab_check.report(rows, drifts, blind, as_json=options.json, down=down)


def card(options: argparse.Namespace) -> int:
    """Write a printable page a student, and a table of the same facts; both hold passwords."""
    _made, students = classes.chosen(options)
    facts: dict[str, dict[str, Any]] = {}
    lock = threading.Lock()
    named = {class_file.stack_of(options.name, each): each for each in students}

    broken: list[str] = []

    def collect(name: str) -> None:
        try:
            lab = labs.load_up(name)
        except errors.BadInputError as error:
            with lock:
                broken.append(f"error: {name}: {error}\n")
            return
        shown = class_cards.student(
            lab.spec, lab_card.with_fingerprints(lab.spec, lab.cards), name=named[name].name,
            password=labs.password(name) if lab.spec.post_install else "",
            locale=environment.language(),
        )  # fmt: skip
        with lock:
            facts[name] = shown

    up_now = [name for name in named if classes.servers(stack.recorded(name))]
    if not up_now:
        raise errors.BadInputError(
            f"nobody of {options.name} is up", do=f"./lab class up {options.name}"
        )
    classes.each(up_now, collect)
    sys.stderr.write("".join(sorted(broken)))
    ordered = [facts[name] for name in up_now if name in facts]
    if not ordered:
        raise errors.BadInputError(f"no card of {options.name} can be made")
    folder = class_file.path_of(environment.ROOT, options.name).parent
    written: list[str] = []
    for suffix, text in (
        ("html", class_cards.page(options.name, ordered)),
        ("csv", class_cards.table(ordered)),
    ):
        path = folder / f"{options.name}-cards.{suffix}"
        path.touch(mode=0o600)
        path.write_text(text)
        written.append(f"classes/{path.name}")
    missing = [each.label for name, each in named.items() if name not in facts]
    if options.json:
        found = {"class": options.name, "files": written, "missing": missing}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write("".join(f"{path}\n" for path in written))
    if missing:
        sys.stderr.write(f"not up, and without a card: {', '.join(missing)}\n")
    return 0 if not missing else 1
