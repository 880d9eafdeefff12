"""What a check found: one row a server, with the reason and the way out where it is not well."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from stacks.server import ServerSpec
from stacks.spec import LabSpec
from views import table

WAYS = ("ssh", "http", "https")
OK, BAD, NONE = "ok", "✗", "-"
HEADS = ("student", "server", "container", *WAYS, "installed", "asked")


@dataclasses.dataclass(frozen=True)
class Row:
    """One server, as it was found.

    Attributes:
        student: Whose it is.
        server: Its name.
        container: LXD's word for its state, or `absent`.
        ssh: `ok`, `✗`, or `-` where it was not tried; so `http` and `https`.
        installed: `yes`, `no`, or `-` where the stack does not post-install it.
        asked: How many connections to its pages HAProxy counts, and how many are open now.
        well: Whether all of it is as it should be.
        why: What is wrong with it, in words.
        do: What mends it.
        note: What is a student's own to change, and is not as the stack file has it.
    """

    student: str
    server: str
    container: str
    ssh: str
    http: str
    https: str
    installed: str
    asked: str
    well: bool
    why: str = ""
    do: str = ""
    note: str = ""


def row(lab: LabSpec, server: ServerSpec, seen: Mapping[str, Any], stack: str) -> Row:
    """Judge what was seen of a server.

    Args:
        lab: Its lab.
        server: What it should be.
        seen: `container` (LXD's state, or `absent`), `installed`, `stage` (how far it is, in words,
            where that is not whole), where it was tried a way's `{ok, seen}` by its name,
            `refuses`, whether it refuses the lab host, `asked`, what HAProxy counts of it,
            `inside`, lines of what does not serve in it, and `domain`, its main domain.
        stack: The stack's name.

    """
    container = str(seen["container"]).lower()
    wrong = []
    if container != server.state:
        wrong.append(f"the container is {container}, not {server.state}")
    ways = {way: _mark(seen.get(way), expected=server.state == "running") for way in WAYS}
    do = f"./lab up {stack}"
    if not wrong:
        wrong += [f"{way}: {seen[way]['seen']}" for way in WAYS if ways[way] == BAD]
        if seen.get("refuses"):
            wrong.append("it refuses the lab host, by which all pages come: banned by fail2ban?")
            do = (
                f"on the lab host: lxc exec {server.name} --project {lab.project} -- sh -c "
                f"'fail2ban-client unban {lab.gateway}; systemctl restart nginx'"
            )
    installed = NONE
    if lab.post_install and server.state == "running":
        installed = "yes" if seen.get("installed") else "no"
        if installed == "no" and not wrong:
            wrong.append(str(seen.get("stage") or "YunoHost is not post-installed"))
        elif seen.get("inside") and not wrong:
            wrong += seen["inside"]
            units = " ".join(line.split()[0] for line in wrong if line.endswith("does not run"))
            inside = f"systemctl restart {units}" if units else "yunohost tools regen-conf --force"
            do = f"on the lab host: lxc exec {server.name} --project {lab.project} -- {inside}"
    main = str(seen.get("domain") or server.domain)
    note = f"its main domain is {main} now" if main != server.domain else ""
    well = not wrong
    return Row(
        lab.student, server.name, container, **ways, installed=installed,
        asked=_asked(seen.get("asked")), well=well,
        why="; ".join(wrong), do="" if well else do, note=note,
    )  # fmt: skip


def render(rows: Sequence[Row], drifts: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the rows as a table, what is wrong below it, and how many are well.

    Args:
        rows: The servers.
        drifts: By stack, the kinds of what is otherwise than it was made.

    """
    cells = [[str(getattr(row, head)) for head in HEADS] for row in rows]
    lines = table.render(HEADS, cells)
    for row in rows:
        if not row.well:
            lines.append(f"{BAD} {row.student}/{row.server}: {row.why}    {row.do}")
    lines += [f"! {row.student}/{row.server}: {row.note}" for row in rows if row.note]
    for stack, kinds in (drifts or {}).items():
        if kinds:
            lines.append(f"! {stack}: drift: {_counted(kinds)}; what it is: ./lab preview {stack}")
    students = {row.student for row in rows}
    sick = {row.student for row in rows if not row.well}
    lines.append(f"{len(students) - len(sick)} of {len(students)} students well.")
    return "\n".join(lines) + "\n"


def _counted(kinds: Sequence[str]) -> str:
    """Return how many there are of each kind: `2 rules, 1 container`."""
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
