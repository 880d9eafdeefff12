"""Show a check's results: one row a server, with reason and remedy for a fault."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from stacks import ways
from stacks.server import ServerSpec
from stacks.spec import LabSpec
from views import table

WAYS = tuple(ways.PORTS)
OK, BAD, NONE = "ok", "✗", "-"
HEADS = ("student", "server", "container", *WAYS, "installed", "asked")


@dataclasses.dataclass(frozen=True)
class Row:
    """The results of one server.

    Attributes:
        student: Its student.
        server: Its name.
        container: LXD's word for its state, or `absent`.
        ssh: `ok`, `✗`, or `-` if not tried; likewise `http` and `https`.
        installed: `yes`, `no`, or `-` if the stack does not post-install it.
        asked: HAProxy's count of connections to its pages, and of those open now.
        ok: Whether it has no fault.
        why: Its faults, in words.
        do: The remedy.
        note: A difference from the stack file that a student may make.
    """

    student: str
    server: str
    container: str
    ssh: str
    http: str
    https: str
    installed: str
    asked: str
    ok: bool
    why: str = ""
    do: str = ""
    note: str = ""


def row(lab: LabSpec, server: ServerSpec, seen: Mapping[str, Any], stack: str) -> Row:
    """Judge the results of a server's checks.

    Args:
        lab: Its lab.
        server: Its spec.
        seen: `container` (LXD's state, or `absent`), `installed`, `stage` (of an incomplete
            post-installation, in words), by its name the `{ok, seen}` of each way that was tried,
            `refuses` (whether it refuses the lab host), `asked` (HAProxy's counts), `inside`
            (lines of faults inside it), and `domain` (its main domain).
        stack: The stack's name.

    """
    container = str(seen["container"]).lower()
    marks = {way: _mark(seen.get(way), expected=server.state == "running") for way in WAYS}
    installed = NONE
    if lab.post_install and server.state == "running":
        installed = "yes" if seen.get("installed") else "no"
    wrong, do = [f"the container is {container}, not {server.state}"], f"./lab up {stack}"
    if container == server.state:
        wrong = [f"{way}: {seen[way]['seen']}" for way in WAYS if marks[way] == BAD]
        inside = list(seen.get("inside") or ())
        if installed == "no" and not wrong:
            wrong = [str(seen.get("stage") or "YunoHost is not post-installed")]
        elif inside:
            wrong += inside
            do = _within(lab, server, _remedy(inside))
        elif seen.get("refuses"):
            wrong.append("it refuses the lab host, by which all pages come: banned by fail2ban?")
            lift = f"fail2ban-client unban {lab.gateway}; systemctl restart nginx"
            do = _within(lab, server, f"sh -c '{lift}'")
    main = str(seen.get("domain") or server.domain)
    note = f"its main domain is {main} now" if main != server.domain else ""
    ok = not wrong
    return Row(
        lab.student, server.name, container, **marks, installed=installed,
        asked=_asked(seen.get("asked")), ok=ok,
        why="; ".join(wrong), do="" if ok else do, note=note,
    )  # fmt: skip


def _within(lab: LabSpec, server: ServerSpec, command: str) -> str:
    return f"on the lab host: lxc exec {server.name} --project {lab.project} -- {command}"


def _remedy(inside: Sequence[str]) -> str:
    """Return the command that mends faults inside a YunoHost."""
    dead = (" does not run", " does not answer")
    units = " ".join(line.split()[0] for line in inside if line.endswith(dead))
    return f"systemctl restart {units}" if units else "yunohost tools regen-conf --force"


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as `--json` has it, where `ok` is called `well`."""
    fields = dataclasses.asdict(row)
    return {"well" if key == "ok" else key: fields[key] for key in fields}


def render(rows: Sequence[Row], drifts: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the rows as a table, then the faults, and the number of servers without any.

    Args:
        rows: The servers.
        drifts: By stack, the kinds of the resources that have drifted.

    """
    cells = [[str(getattr(row, head)) for head in HEADS] for row in rows]
    lines = table.render(HEADS, cells)
    for row in rows:
        if not row.ok:
            lines.append(f"{BAD} {row.student}/{row.server}: {row.why}    {row.do}")
    lines += [f"! {row.student}/{row.server}: {row.note}" for row in rows if row.note]
    for stack, kinds in (drifts or {}).items():
        if kinds:
            lines.append(f"! {stack}: drift: {_counted(kinds)}; what it is: ./lab preview {stack}")
    students = {row.student for row in rows}
    sick = {row.student for row in rows if not row.ok}
    lines.append(f"{len(students) - len(sick)} of {len(students)} students well.")
    return "\n".join(lines) + "\n"


def _counted(kinds: Sequence[str]) -> str:
    """Return the count of each kind: `2 rules, 1 container`."""
    counts = collections.Counter(kind.lower() for kind in kinds)
    many = {"entry": "entries"}
    return ", ".join(
        f"{count} {kind if count == 1 else many.get(kind, f'{kind}s')}"
        for kind, count in sorted(counts.items())
    )


def _asked(counts: Mapping[str, int] | None) -> str:
    if not counts:
        return NONE
    return f"{counts['connections']}, {counts['open']} open"


def _mark(seen: Mapping[str, Any] | None, *, expected: bool) -> str:
    if seen is None or not expected:
        return NONE
    return OK if seen["ok"] else BAD
