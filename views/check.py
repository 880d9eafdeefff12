"""Show a check's results: one row a server, with reason and remedy for a fault."""

from __future__ import annotations

import collections
import dataclasses
import gettext
import re
from collections.abc import Mapping, Sequence
from typing import Any

from checks import losses
from core.names import in_program
from providers.lxd.container import network_faults
from providers.lxd.postinstall import services
from stacks import ways
from stacks.server import ServerSpec
from stacks.spec import LabSpec
from views import language, table
from views.language import Message

WAYS = tuple(ways.PORTS)
OK, BAD, NONE = "ok", "✗", "-"
ABSENT = "absent"
HEADS: dict[str, str | Message] = {
    "student": Message("student"), "server": Message("server"), "container": Message("container"),
    **dict(zip(WAYS, WAYS, strict=True)),
    "installed": Message("installed"), "asked": Message("connections"),
}  # fmt: skip
# The English reports of `remote.reachability`, post-installations and services about a way or a
# server; the first pattern that fits is translated. Texts of other programs stay unchanged.
REPORTS = (
    Message("the connection was closed before a banner came"),
    Message("not an SSH banner: {banner}"),
    Message("{answer}: HAProxy finds no server behind it"),
    Message("404: HAProxy does not know the domain"),
    Message("the TLS connection was closed at its beginning"),
    Message(
        "something other than the lab answers: a program that does not give its name, {answer}"
    ),
    Message("something other than the lab answers: {who}, {answer}"),
    Message("its post-installation was interrupted: YunoHost records no success of it"),
    Message("{file} is missing, and it was post-installed"),
    Message("it has lost its address {address}"),
    Message("it has no default route"),
    Message("nothing in it listens on {ports}"),
    Message("{unit} does not run"),
    Message("{unit} does not answer"),
    Message("{unit} is disabled"),
    Message("{unit} is masked"),
    Message("nginx has no page of {domain} (yunohost tools regen-conf nginx --force)"),
    Message(
        "its sshd listens on {ports} (yunohost settings set security.ssh.ssh_port -v 22; "
        "yunohost tools regen-conf ssh --force)"
    ),
)


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
        faults: Its faults.
        remedy: What to type against them.
        note: A difference from the stack file that a student may make.
        language: The language of its lab; empty if the lab sets none.
        unexplained: Whether no known cause explains its closed ways: doctor may find one.
    """

    student: str
    server: str
    container: str
    ssh: str
    http: str
    https: str
    installed: str | Message
    asked: str | Message
    ok: bool
    faults: tuple[str | Message, ...] = ()
    remedy: str | Message = ""
    note: str | Message = ""
    language: str = ""
    unexplained: bool = False

    @property
    def why(self) -> str:
        """Return the faults in English."""
        return "; ".join(map(str, self.faults))

    @property
    def do(self) -> str:
        """The remedy in English."""
        return str(self.remedy)


def row(lab: LabSpec, server: ServerSpec, results: Mapping[str, Any], stack: str) -> Row:
    """Judge the results of a server's checks.

    Args:
        lab: Its lab.
        server: Its spec.
        results: `container` (LXD's state, or `absent`), `installed`, `stage` (of an incomplete
            post-installation, in words), by its name the `{ok, seen}` of each way that was tried,
            `refuses` (whether it refuses the lab host), `banned` (the addresses that it bans),
            `shut` (the ports at which it drops the lab host's packets), `asked` (HAProxy's counts),
            `program` (the host's `lxc` or `incus`), `inside` (lines of faults inside it),
            `taken` (whether somebody else post-installed it, before Grappe could), `domain` (its
            main domain), `userless` (the card's user, if it has none of that name), `login` (see
            `services.LOGIN`), `by_hand`
            (whether somebody else than Grappe post-installed it), and `renamed` (servers with the
            lab's mark and none of its names).
        stack: The stack's name.
    """
    container, unexplained = str(results["container"]).lower(), False
    marks = {way: _mark(results.get(way), expected=server.state == "running") for way in WAYS}
    installed: str | Message = NONE
    if lab.post_install and server.state == "running" and "installed" in results:
        installed = Message("yes") if results["installed"] else Message("no")
    wrong, do = _misplaced(lab, server, container, results, stack)
    if container == server.state:
        wrong = [
            Message("{way}: {report}", way=way, report=report(results[way]["seen"]))
            for way in WAYS if marks[way] == BAD
        ]  # fmt: skip
        faults, command = _causes(lab, results, closed=bool(wrong))
        stage = results.get("stage")
        unfinished = installed != NONE and not results.get("installed") and (stage or not wrong)
        if unfinished:
            wrong.append(report(stage) if stage else Message("YunoHost is not post-installed"))
        elif results.get("taken"):
            wrong.append(Message("it was post-installed by somebody else: it has no user {user}",
                                 user=results["userless"]))  # fmt: skip
            do = f"./lab up {stack} --rebuild {server.name}"
        elif faults:
            do = _within(lab, server, command, _program(results))
        elif wrong:
            up, doctor = f"./lab up {stack}", f"./lab doctor {stack}"
            do = Message("{up}; where that does not help: {doctor}", up=up, doctor=doctor)
            unexplained = True
        wrong += faults
    note = _note(lab, server, results)
    ok = not wrong
    return Row(
        lab.student, server.name, container, **marks, installed=installed,
        asked=_requests(results.get("asked")), ok=ok,
        faults=tuple(wrong), remedy="" if ok else do, note=note, language=lab.language,
        unexplained=unexplained,
    )  # fmt: skip


def cut_off(row: Row, why: str, stack: str) -> Row:
    """Return the row of a server whose lab's tunnel to the relay is down.

    Args:
        row: The row.
        why: What the tunnel's driver reports.
        stack: The stack's name.
    """
    fault = Message("the way from the internet is down: {report}", report=why)
    remedy = row.remedy or f"./lab up {stack}"
    return dataclasses.replace(row, ok=False, faults=(*row.faults, fault), remedy=remedy)


def _note(lab: LabSpec, server: ServerSpec, results: Mapping[str, Any]) -> str | Message:
    """Return a difference from the stack file that a student may make, and what goes with it."""
    main = str(results.get("domain") or server.domain)
    login = results.get("login") or ()
    if owner := next((each for each in lab.servers if main == each.domain != server.domain), None):
        add = f"yunohost domain add {server.domain}"
        return Message(
            "its main domain is {domain}, the one of {owner}: was a backup of it restored here? "
            "In the server: {commands}", domain=main, owner=owner.name,
            commands=f"{add}; yunohost domain main-domain -n {server.domain}",
        )  # fmt: skip
    if main != server.domain:
        return Message("its main domain is {domain} now; the stack file may name it", domain=main)
    note: str | Message = ""
    if (user := results.get("userless")) and not results.get("taken"):
        note = Message("it no longer has the user {user} that the card names", user=user)
    elif services.SHUT_OUT in login:
        note = Message(
            "its sshd lets {user} in no longer; in the server: {command}", user=lab.user,
            command=f"yunohost user group add admins {lab.user}",
        )  # fmt: skip
    elif services.NO_PASSWORDS in login and not lab.keys:
        note = Message(
            "its sshd takes no passwords; in the server: {command}",
            command="yunohost settings set security.ssh.ssh_password_authentication -v yes",
        )
    elif results.get("by_hand"):
        note = Message("it was post-installed by hand; its users are those created then")
    return note


def _misplaced(
    lab: LabSpec, server: ServerSpec, container: str, results: Mapping[str, Any], stack: str
) -> tuple[list[str | Message], str | Message]:
    """Return the faults and the remedy of a container that is not in its server's state."""
    wrong: list[str | Message] = [
        Message("the container is {container}, not {state}", container=container,
                state=server.state)
    ]  # fmt: skip
    strangers = results.get("renamed") or ()
    if container != ABSENT or not strangers:
        return wrong, f"./lab up {stack}"
    names = ", ".join(strangers)
    wrong.append(Message("{names} has this lab's mark: somebody renamed it", names=names))
    commands = losses.renaming_back(strangers[0], server.name, lab.project)
    commands = in_program(commands, _program(results))
    return wrong, Message("on the host: {commands}", commands=commands)


def _causes(
    lab: LabSpec, results: Mapping[str, Any], *, closed: bool
) -> tuple[list[str | Message], str]:
    """Return the causes of a server's faults, and the command that repairs them inside it.

    Args:
        lab: Its lab.
        results: Those of `row`.
        closed: Whether one of its ways does not answer.
    """
    if inside := list(results.get("inside") or ()):
        command = services.remedy(inside) or network_faults.remedy(inside)
        return [report(line) for line in inside], command
    if closed and (banned := list(results.get("banned") or ())):
        fault = Message("its fail2ban bans {addresses}", addresses=", ".join(banned))
        return [fault], f"fail2ban-client unban {' '.join(banned)}"
    if closed and results.get("refuses"):
        fault = Message("it refuses the lab host, through which pages come: banned by fail2ban?")
        lift = f"fail2ban-client unban {lab.gateway}; systemctl restart nginx"
        return [fault], f"sh -c '{lift}'"
    if closed and (shut := list(map(str, results.get("shut") or ()))):
        fault = Message(
            "it drops packets to {ports}: its own firewall, or the lab host's?",
            ports=", ".join(shut),
        )
        yunohost = results.get("installed") or results.get("by_hand")
        # The second is for YunoHost before 12.1.
        opens = "; ".join(
            f"yunohost firewall open {port} lab || yunohost firewall allow TCP {port}"
            for port in shut
        )
        return [fault], f"sh -c '{opens}'" if yunohost else "nft list ruleset"
    return [], ""


def _program(results: Mapping[str, Any]) -> str:
    return str(results.get("program", "lxc"))


def _within(lab: LabSpec, server: ServerSpec, command: str, program: str) -> Message:
    whole = f"{program} exec {server.name} --project {lab.project} -- {command}"
    return Message("on the lab host: {command}", command=whole)


def report(text: str) -> str | Message:
    """Return the text of a reported fault, to be translated if it is one of `REPORTS`."""
    for known in REPORTS:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(known.english))
        if match := re.fullmatch(pattern, text):
            return Message(known.english, **match.groupdict())
    return text


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as `--json` has it, in English, where `ok` is called `well`."""
    texts = {key: str(getattr(row, key)) for key in HEADS}
    return {**texts, "well": row.ok, "why": row.why, "do": row.do, "note": str(row.note)}


def render(
    rows: Sequence[Row],
    drifts: Mapping[str, Sequence[str]] | None = None,
    locale: str = language.ENGLISH,
    down: Mapping[str, str] | None = None,
    unchecked: int = 0,
) -> str:
    """Return the rows as a table, then the faults, and the number of students without any.

    Args:
        rows: The servers.
        drifts: By stack, the kinds of the resources that have drifted.
        locale: The language, unless all labs set one and the same.
        down: Students whose lab is down, each with the command that brings it up.
        unchecked: The number of further labs that could not be checked.
    """
    spoken = {row.language for row in rows}
    catalog = language.catalog((spoken.pop() if len(spoken) == 1 else "") or locale)
    _ = catalog.gettext
    heads = [language.shown(head, catalog) for head in HEADS.values()]
    cells = [[language.shown(getattr(row, key), catalog) for key in HEADS] for row in rows]
    lines = table.render(heads, cells) if rows else []
    down = down or {}
    for student, command in down.items():
        absent = _("{student}: is down").format(student=student)
        lines.append(f"{BAD} {absent}    {command}")
    for row in rows:
        if not row.ok:
            why = _("; ").join(language.shown(fault, catalog) for fault in row.faults)
            do = language.shown(row.remedy, catalog)
            lines.append(f"{BAD} {_named(row, why, catalog)}    {do}")
    lines += [
        f"! {_named(row, language.shown(row.note, catalog), catalog)}" for row in rows if row.note
    ]
    for stack, kinds in (drifts or {}).items():
        if kinds:
            drift = _("{stack}: drift: {kinds}; details: {command}").format(
                stack=stack, kinds=_counted(kinds, catalog), command=f"./lab preview {stack}"
            )
            lines.append(f"! {drift}")
    students = {*down, *(row.student for row in rows)}
    sick = {*down, *(row.student for row in rows if not row.ok)}
    well = len(students) - len(sick)
    lines.append(_("{well} of {all} students ok.").format(well=well, all=len(students) + unchecked))
    return "\n".join(lines) + "\n"


def _named(row: Row, sentence: str, catalog: gettext.NullTranslations) -> str:
    server = f"{row.student}/{row.server}"
    return Message("{server}: {what}", server=server, what=sentence).into(catalog)


def _counted(kinds: Sequence[str], catalog: gettext.NullTranslations) -> str:
    """Return the count of each kind: `2 rules, 1 container`."""
    counts = collections.Counter(kind.lower() for kind in kinds)
    return ", ".join(
        _count(kind, count, catalog).format(count=count) for kind, count in sorted(counts.items())
    )


def _count(kind: str, count: int, catalog: gettext.NullTranslations) -> str:
    ngettext = catalog.ngettext
    return {
        "backend": ngettext("{count} backend", "{count} backends", count),
        "container": ngettext("{count} container", "{count} containers", count),
        "entry": ngettext("{count} entry", "{count} entries", count),
        "network": ngettext("{count} network", "{count} networks", count),
        "project": ngettext("{count} project", "{count} projects", count),
        "rule": ngettext("{count} rule", "{count} rules", count),
        "tunnel": ngettext("{count} tunnel", "{count} tunnels", count),
        "volume": ngettext("{count} volume", "{count} volumes", count),
    }[kind]


def _requests(counts: Mapping[str, int] | None) -> str | Message:
    if not counts:
        return NONE
    return Message(
        "{connections}, {open} open",
        connections=str(counts["connections"]), open=str(counts["open"]),
    )  # fmt: skip


def _mark(result: Mapping[str, Any] | None, *, expected: bool) -> str:
    if result is None or not expected:
        return NONE
    return OK if result["ok"] else BAD
