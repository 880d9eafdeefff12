"""`./lab class new`: turn a roster into a class file, and a stack file for each student."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import secrets
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from classroom import class_file, labels, matching, roster
from classroom.class_file import ClassFile, Student
from cli import class_view, environment, new, options, progress, stack
from cli import classroom as classes
from core import errors, problems
from core.labels import label
from core.names import MAX_NUMBER
from stacks import allocation, files, kinds, neighbours, settings

# The letters of passwords that people read from paper: no l, I, 0 or O.
LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of `class new`; only a new class takes settings."""

    name: str
    roster: str
    host: str = ""
    image: str = ""
    domain: str = ""
    workstation: str = ""
    relay: str = ""
    post_install: bool = False
    pairs: Sequence[str] = ()


def create_options(parser: options.Parser) -> None:
    """Add the options of `class new`."""
    options.class_name(parser, "the class: small letters, digits, dashes")
    parser.add_argument("--roster", required=True, metavar="FILE", help="a CSV export")
    parser.add_argument("--host", default="", help="the lab host of a new class")
    parser.add_argument("--image", default="", help="each server's image (default yunohost-12)")
    parser.add_argument("--domain", default="", help="parent of the domains (default grappe.test)")
    text = "local: (default), ssh://..., netns:NAME, or none"
    parser.add_argument("--workstation", default="", help=text)
    parser.add_argument("--relay", default="", help="a server on the internet: ssh://[user@]relay")
    text = "post-install YunoHost on each server, with a generated password for each student"
    parser.add_argument("--post-install", action="store_true", help=text)
    options.values(parser)


@stack.numbering()
def create(**given: Any) -> int:
    """Read a roster; write the class's file, and a stack file for each new student.

    Args:
        given: The fields of a `Request`.

    Raises:
        errors.BadInputError: All mistakes in roster, class file and settings.
    """
    request = Request(**given)
    classes.demand_states_here()
    root, name = environment.ROOT, request.name
    entries = _entries(environment.given(request.roster))
    before = _before(request)
    try:
        found = matching.match(before.students, entries)
    except problems.Mistakes as mistakes:
        wrong = problems.summary(mistakes.mistakes)
        raise errors.BadInputError(f"the roster: {wrong}") from mistakes
    own = {class_file.stack_of(name, each) for each in before.students}
    others = {
        **{each: values for each, values in new.of_classes().items() if each not in own},
        **{each: files.read(stack.folder(), each) for each in files.names(stack.folder())},
    }
    students = _numbered(name, before, found.joined, others)
    _demand_no_lab_of_another(name, students, others)
    file = dataclasses.replace(before, students=(*before.students, *students))
    # A student whose stack file is lost, or that an interrupted run did not write, gets one too.
    lost = [each for each in before.students if class_file.stack_of(name, each) not in others]
    planned = {
        class_file.stack_of(name, each): _values(name, before, each) for each in (*lost, *students)
        if class_file.stack_of(name, each) not in others
    }  # fmt: skip
    _share_relay(planned, others)
    _demand_sound(planned, others)
    # Write numbers and labels first: a run after an interruption goes on with them.
    class_file.write(root, name, file)
    _write_stack_files(name, file, planned)
    sys.stdout.write(class_view.created(name, file, students))
    _report(name, found)
    return 0


def _write_stack_files(
    name: str, file: ClassFile, planned: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the planned stack files; give a password to each that needs one and has none."""

    def write(each: str) -> None:
        config = {f"{settings.NAMESPACE}:{key}": value for key, value in planned[each].items()}
        # A lab that is up keeps its password.
        password = (new.password_of(each) or _password()) if file.post_install else ""
        stack.write(each, new.content(config, password))

    if planned and not file.post_install:
        with progress.step("stack files") as step:
            for each in planned:
                write(each)
            step.detail = f"{len(planned)} written"
    elif file.post_install:
        names = [class_file.stack_of(name, each) for each in file.students]
        without = [
            each for each in names
            if each not in planned and not classes.is_up(each)
            and settings.PASSWORD not in files.read(stack.folder(), each)
        ]  # fmt: skip
        if planned or without:
            with progress.step("passwords") as step:
                classes.each(list(planned), write)
                classes.each(without, _have_password)
                step.detail = f"{len(planned) + len(without)}, one a student"


def _report(name: str, found: matching.Matched) -> None:
    """Print who has left, who has another name or key, and the next commands."""
    for student in found.rekeyed:
        sys.stderr.write(
            f"{student.name} has another key in this roster: set it in classes/{name}.yaml, "
            f"and in grappe:keys of stacks/Pulumi.{class_file.stack_of(name, student)}.yaml\n"
        )
    for student, called in found.renamed:
        sys.stderr.write(
            f"{student.name} has the name {called} in this roster (same id or e-mail). The lab "
            f"stays; for the card, change the name in classes/{name}.yaml\n"
        )
    if left := found.left:
        sys.stderr.write(
            f"{len(left)} of the class are not in this roster, and stay: "
            f"{', '.join(each.name for each in left)}\n"
            f"Take them down: ./lab class down {name} {' '.join(each.label for each in left)}\n"
        )
    sys.stderr.write(
        f"See the plan: ./lab class preview {name}    Bring it up: ./lab class up {name}\n"
    )


def _entries(path: pathlib.Path) -> list[roster.Entry]:
    try:
        text = roster.decode(path.read_bytes())
        entries = roster.parse(text)
        if heads := roster.unread(text):
            sys.stderr.write(
                f"columns of the roster that are not read: {', '.join(heads)} (names, e-mail, id, "
                "group and key are)\n"
            )
    except FileNotFoundError:
        raise errors.BadInputError(
            f"there is no roster {path}", do="name the exported CSV file: --roster FILE"
        ) from None
    except OSError as error:
        raise errors.BadInputError(
            f"the roster {path} cannot be read", seen=str(error.strerror), do="name a CSV file"
        ) from error
    except problems.Mistakes as mistakes:
        raise errors.BadInputError(f"{path}: {problems.summary(mistakes.mistakes)}") from mistakes
    return entries


def _before(request: Request) -> ClassFile:
    """Return the existing class, or a new one from the command line."""
    keys = ("image", "domain", "workstation")
    given: dict[str, Any] = {key: value for key in keys if (value := getattr(request, key))}
    if request.relay:
        given["tunnel"] = {"relay": request.relay}
    given |= new.settings_of(request.pairs, (*class_file.OWN, settings.PASSWORD, *given))
    if request.name in class_file.names(environment.ROOT):
        file = class_file.read(environment.ROOT, request.name)
        if (request.host and request.host != file.host) or given:
            raise errors.BadInputError(
                f"classes/{request.name}.yaml is there already, with its host and settings",
                do="change them there; new students get them, the others keep theirs",
            )
        return dataclasses.replace(file, post_install=file.post_install or request.post_install)
    if not request.host:
        raise errors.BadInputError(
            "a new class needs its lab host", do="--host ssh://[user@]host[:port]"
        )
    if not request.name or label(request.name) != request.name:
        raise errors.BadInputError(
            f"{problems.show(request.name)} is not the name of a class: small letters, digits, "
            "dashes",
            do=f"as {label(request.name) or 'tp1'}",
        )
    return ClassFile(host=request.host, post_install=request.post_install, settings=given)


def _number_of(stack_name: str, values: Mapping[str, Any]) -> int:
    """Return the number in a stack file.

    Raises:
        errors.BadInputError: It has none.
    """
    number = values.get("number")
    if str(number).isdecimal():
        return int(str(number))
    raise errors.BadInputError(
        f"stacks/Pulumi.{stack_name}.yaml is of a student who is back, and its grappe:number "
        f"is {problems.show(number)}",
        do="write its number there; or, if the lab is down, remove the file",
    )


def _numbered(
    name: str,
    before: ClassFile,
    joined: Sequence[roster.Entry],
    others: Mapping[str, Mapping[str, Any]],
) -> list[Student]:
    """Return students with labels and numbers that are unused in this folder."""
    # A student who comes back gets the stack file that is still there.
    left = {each.removeprefix(f"{name}-"): each for each in classes.strays(name, before)}
    taken = {each.label for each in before.students}
    for stack_name, values in others.items():
        if stack_name not in left.values():
            taken.add(str(values.get("student") or stack_name))
            # Student a of class tp-b and student b-a of class tp would have the same stack.
            taken.add(stack_name.removeprefix(f"{name}-"))
    new_labels = labels.unique([(entry.first, entry.last) for entry in joined], taken)
    held = dict(others)
    for student in before.students:
        held[f"{name}-{student.label}"] = {"host": before.host, "number": student.number}
    free = neighbours.free_numbers(before.host, held)
    students = [
        Student(
            name=entry.name, label=chosen, email=entry.email, id=entry.id, group=entry.group,
            key=entry.key,
            number=_number_of(left[chosen], others[left[chosen]]) if chosen in left else next(free),
        )
        for entry, chosen in zip(joined, new_labels, strict=True)
    ]  # fmt: skip
    if beyond := sum(each.number > MAX_NUMBER for each in students):
        raise errors.BadInputError(
            f"{before.host} has numbers for {MAX_NUMBER} students, and {beyond} more are needed",
            do="a second class, on another lab host",
        )
    return students


def _demand_no_lab_of_another(
    name: str, students: Sequence[Student], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a new student whose stack file has a lab already: it may be a namesake's.

    Raises:
        errors.BadInputError: All of them, and both ways out.
    """
    found = {class_file.stack_of(name, each): each for each in students}
    left = {each: student for each, student in found.items() if each in others}
    if held := [each for each in left if classes.is_up(each)]:
        raise errors.BadInputError(
            f"{', '.join(left[each].name for each in held)} would get the lab of somebody who is "
            f"no longer in classes/{name}.yaml, with everything in it: {', '.join(held)}",
            do=f"the same person: restore the entry in classes/{name}.yaml; another one: "
            + "; ".join(f"./lab remove {each}" for each in held),
        )
    for each, student in left.items():
        sys.stderr.write(
            f"{student.name} gets stacks/Pulumi.{each}.yaml, which is there already, with its "
            f"password. If it was somebody else's: ./lab remove {each}, and remove the entry in "
            f"classes/{name}.yaml; then the same again\n"
        )


def _values(name: str, file: ClassFile, student: Student) -> dict[str, Any]:
    lab = new.id_of(class_file.stack_of(name, student))
    return {
        "student": student.label, "id": lab, "host": file.host, "number": student.number,
        **file.settings, **({"keys": [student.key]} if student.key else {}),
    }  # fmt: skip


def _share_relay(
    planned: Mapping[str, dict[str, Any]], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give each student ports of the relay, where the class sets none: by number, if they are free.

    A class on another lab host may have the same numbers, and the same relay.
    """
    taken = neighbours.relay_ports(others)
    for values in planned.values():
        tunnel = values.get("tunnel")
        if not isinstance(tunnel, dict) or "forwards" in tunnel:
            continue
        relay = neighbours.machine(tunnel.get("relay"))
        numbers = itertools.chain([values["number"]], range(MAX_NUMBER, 0, -1))
        firsts = (allocation.relay_port(number) for number in numbers)
        first = next(port for port in firsts if not {(relay, port), (relay, port + 1)} & taken)
        taken |= {(relay, first), (relay, first + 1)}
        forwards = [{"listen": first, "port": 80}, {"listen": first + 1, "port": 443}]
        values["tunnel"] = {**tunnel, "forwards": forwards}


def _demand_sound(
    planned: Mapping[str, Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse invalid stack files, all of them at once."""
    named: dict[str, list[str]] = defaultdict(list)
    held = neighbours.claimed({**others, **planned})
    for name, values in planned.items():
        if stack.file_of(name).exists():
            named[f"stacks/Pulumi.{name}.yaml is there already"].append(name)
            continue
        texts = {
            f"{settings.NAMESPACE}:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
        }
        # Labels and numbers of the new ones differ among themselves already.
        mistakes = neighbours.conflicts(name, values, others)
        mistakes += neighbours.claims_of_others(name, values, held)
        try:
            kinds.parse(texts, project=stack.PROJECT, stack=name)
        except problems.Mistakes as wrong:
            mistakes += wrong.mistakes
        for each in mistakes:
            named[f"{each.key} {each.reason}"].append(name)
    if named:
        found = [
            f"{stacks[0] if len(stacks) == 1 else f'{len(stacks)} students'}: {text}"
            for text, stacks in named.items()
        ]
        many = found if len(found) < 12 else [*found[:12], f"and {len(found) - 12} more"]  # noqa: PLR2004
        raise errors.BadInputError(
            "the stack files would be invalid; nothing was written", seen="\n".join(many)
        )


def _have_password(name: str) -> None:
    stack.select(name).set_secret(f"{settings.NAMESPACE}:{settings.PASSWORD}", _password())


def _password() -> str:
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(3))
