"""The file of a class: `classes/NAME.yaml`, written by `lab class new` and edited by people."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from core import codec, errors, problems, validators
from core.names import MAX_NUMBER, MIN_NUMBER
from hosts import url
from stacks import files, settings

HEAD = """\
# The class {name}. Add a comment where you like; `lab class new {name} --roster FILE` keeps it.
# `settings` go into the stack file of each new student, as grappe: settings.
"""
# Settings that each student has of their own.
OWN = ("id", "host", "student", "number", "kind", "keys")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Student:
    """A student of a class.

    Attributes:
        name: The name, as people write it.
        label: The short form of the name, in stack names and domains.
        number: The student's number on the class's lab host; nobody else gets it while this entry
            exists.
        email: An address.
        id: The school's number of the student.
        group: The group.
        key: A public SSH key.
    """

    name: str
    label: str
    number: int
    email: str = ""
    id: str = ""
    group: str = ""
    key: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFile:
    """A class.

    Attributes:
        host: The lab host.
        post_install: Whether each student's servers are post-installed, with a password of theirs.
        settings: Settings of every student's stack file, by key without the namespace.
        students: The students.
    """

    host: str
    post_install: bool = False
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    students: tuple[Student, ...] = ()


def path_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a class's file, below the project's folder."""
    return folder / "classes" / f"{name}.yaml"


def names(folder: pathlib.Path) -> list[str]:
    """Return the classes that have a file."""
    return sorted(path.stem for path in (folder / "classes").glob("*.yaml"))


def stack_of(name: str, student: Student) -> str:
    """Return the name of a student's stack."""
    return f"{name}-{student.label}"


def read(folder: pathlib.Path, name: str) -> ClassFile:
    """Read a class.

    Raises:
        errors.BadInputError: It has no file, or invalid settings; lists all of them.
    """
    path = path_of(folder, name)
    if name not in names(folder):
        known = ", ".join(names(folder)) or "none"
        raise errors.BadInputError(
            f"there is no class {name}: classes/{name}.yaml is missing",
            seen=f"classes: {known}",
            do=f"./lab class new {name} --roster FILE --host URL",
        )
    try:
        text = path.read_text()
        content = YAML(typ="safe").load(text)
        files.demand_small(content)
    except UnicodeDecodeError as error:
        raise errors.BadInputError(
            f"classes/{name}.yaml is not UTF-8", seen=str(error), do="save it as UTF-8"
        ) from error
    except OSError as error:
        raise errors.BadInputError(
            f"classes/{name}.yaml cannot be read",
            seen=str(error.strerror),
            do="give yourself the right to read it",
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise errors.BadInputError(
            f"classes/{name}.yaml cannot be read", seen=str(error), do="fix that line"
        ) from error
    mistakes: list[problems.Mistake] = []
    if not isinstance(content, dict):
        raise errors.BadInputError(
            f"classes/{name}.yaml is not a class file: it has no host and no students",
            do="restore it from version control; or remove it, then: "
            f"./lab class new {name} --roster FILE --host URL",
        )
    file = codec.salvage(ClassFile, _plain(content, text), mistakes)
    mistakes += codec.beside(mistakes, _mistakes(file)) if file else []
    if mistakes or file is None:
        lines = "\n".join(f"{each.key}  {each.reason}" for each in mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise errors.BadInputError(f"classes/{name}.yaml: {count}", seen=lines)
    return file


def write(folder: pathlib.Path, name: str, file: ClassFile) -> None:
    """Write a class; an existing file keeps its comments and order."""
    path, yaml = path_of(folder, name), YAML()
    yaml.width, yaml.allow_unicode = 1000, True
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        content = yaml.load(path.read_text())
        known = {str(each.get("label")) for each in content.get("students") or []}
        joined = [_written(each) for each in file.students if each.label not in known]
        if content.get("students"):
            content["students"].extend(joined)
        else:
            content["students"] = joined
        if file.post_install:
            content["post_install"] = True
    else:
        content = {
            "host": file.host, "post_install": file.post_install, "settings": dict(file.settings),
            "students": [_written(each) for each in file.students],
        }  # fmt: skip
    text = io.StringIO()
    yaml.dump(content, text)
    head = "" if path.exists() else HEAD.format(name=name)
    staged = path.with_suffix(".new")
    staged.write_text(head + text.getvalue())
    staged.replace(path)


def _written(student: Student) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(student).items() if value}


def _plain(content: Mapping[Any, Any], text: str) -> dict[str, Any]:
    """Return a class file's content with students' values as written: YAML reads 007 as 7."""
    plain = {str(key): value for key, value in content.items() if value is not None}
    students = plain.get("students")
    if not isinstance(students, list):
        return plain
    numbers = any(
        value is not None and not isinstance(value, (str, list, dict)) and key != "number"
        for each in students
        if isinstance(each, dict)
        for key, value in each.items()
    )
    written = _written_texts(text) if numbers else {}
    plain["students"] = [
        {
            str(key): value if key == "number" else written.get((index, str(key)), _text(value))
            for key, value in each.items()
            if value is not None
        }
        if isinstance(each, dict)
        else each
        for index, each in enumerate(students)
    ]
    return plain


def _text(value: Any) -> Any:
    return value if isinstance(value, (str, list, dict)) else str(value)


def _written_texts(text: str) -> dict[tuple[int, str], str]:
    """Return the numbers, words and dates of students as texts, by the student's index and key."""
    top = YAML(typ="safe").compose(text).value
    students: list[Any] = next((value.value for key, value in top if key.value == "students"), [])
    return {
        (index, key.value): value.value
        for index, each in enumerate(students)
        if each.id == "mapping"
        for key, value in each.value
        if value.id == "scalar"
    }


def _mistakes(file: ClassFile) -> Iterable[problems.Mistake]:
    try:
        url.parse(file.host)
    except ValueError as error:
        yield problems.Mistake("host", f"{problems.show(file.host)} {error}")
    known = {field.name for field in dataclasses.fields(settings.Settings)}
    for key in file.settings:
        if key in OWN:
            yield problems.Mistake(f"settings.{key}", "is each student's own. Take it out.")
        elif key not in known:
            reason = f"is not a setting.{problems.near(key, known)}"
            yield problems.Mistake(f"settings.{key}", reason)
    yield from _mistakes_of_students(file.students)


def _mistakes_of_students(students: Iterable[Student]) -> Iterable[problems.Mistake]:
    seen: dict[tuple[str, str], int] = {}
    for index, student in enumerate(students):
        if problem := validators.problem_of_name(student.label):
            yield problems.Mistake(
                f"students[{index}].label", f"{problems.show(student.label)} {problem}"
            )
        if not MIN_NUMBER <= student.number <= MAX_NUMBER:
            reason = f"{student.number} is not a number of a lab: {MIN_NUMBER} to {MAX_NUMBER}."
            yield problems.Mistake(f"students[{index}].number", reason)
        if student.key and (problem := validators.problem_of_public_key(student.key)):
            shown = problems.show(validators.show_public_key(student.key))
            yield problems.Mistake(f"students[{index}].key", f"{shown} {problem}")
        for key in ("label", "number"):
            text = str(getattr(student, key))
            if (key, text) in seen:
                reason = f"{text} is that of students[{seen[key, text]}] too."
                yield problems.Mistake(f"students[{index}].{key}", reason)
            seen.setdefault((key, text), index)
