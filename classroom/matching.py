"""Match the lines of a roster with the students of a class; pure."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from classroom import roster
from classroom.class_file import Student
from core import labels, problems

# The fields by which a line of a roster identifies a student, the surest first.
FIELDS = ("id", "email", "name")


@dataclasses.dataclass(frozen=True)
class Matched:
    """A roster beside a class.

    Attributes:
        joined: The lines of new students.
        left: The students whom the roster lacks.
        renamed: Students with the name that the roster has for them.
        rekeyed: Students for whom the roster has another public SSH key.
    """

    joined: list[roster.Entry]
    left: list[Student]
    renamed: list[tuple[Student, str]]
    rekeyed: list[Student]


def match(students: Sequence[Student], entries: Sequence[roster.Entry]) -> Matched:
    """Match each line of a roster with a student of a class.

    A line with a student's name and another id or e-mail is a new student, a namesake.

    Raises:
        problems.Mistakes: Lines that could be two students', or that two students could be.
    """
    keys = _keys(students)
    shared = _shared([each.email for each in students], [each.email for each in entries])
    named = {entry.name.casefold() for entry in entries}
    found = Matched([], [], [], [])
    met: set[str] = set()
    wrong = []
    for entry in entries:
        known, problem = _matching(_candidates(entry, keys, shared, named), entry)
        if known and not problem and known.label in met:
            problem = f"is {known.name} again, by its name. Add an id or an e-mail to both lines."
        if problem:
            wrong.append(problems.Mistake(f"line {entry.line}", problem))
        elif not known:
            found.joined.append(entry)
        else:
            met.add(known.label)
            # Another export may have the last name first.
            if _words(known.name) != _words(entry.name):
                found.renamed.append((known, entry.name))
            if entry.key and entry.key != known.key:
                found.rekeyed.append(known)
    if wrong:
        raise problems.Mistakes(wrong)
    return dataclasses.replace(found, left=[each for each in students if each.label not in met])


def _candidates(
    entry: roster.Entry,
    keys: Mapping[tuple[str, str], list[Student]],
    shared: set[str],
    named: set[str],
) -> dict[str, list[Student]]:
    """Return the students that each field of a line names.

    Args:
        entry: The line.
        keys: The students by field.
        shared: E-mail addresses that identify nobody.
        named: The names in the roster.
    """
    by = {field: keys.get((field, getattr(entry, field).casefold()), []) for field in FIELDS}
    if entry.email.casefold() in shared:
        by["email"] = []
    # Nor accents nor the words' order tell two people apart, unless the roster has both.
    by["name"] = by["name"] or [
        each for each in keys.get(("words", _words(entry.name)), ())
        if each.name.casefold() not in named
    ]  # fmt: skip
    return by


def _keys(students: Sequence[Student]) -> dict[tuple[str, str], list[Student]]:
    """Return the students by each of their fields, and by the words of their names."""
    keys: dict[tuple[str, str], list[Student]] = defaultdict(list)
    for student in students:
        for field in FIELDS:
            if text := getattr(student, field).casefold():
                keys[field, text].append(student)
        keys["words", _words(student.name)].append(student)
    return keys


def _shared(*lists: Sequence[str]) -> set[str]:
    """Return the e-mail addresses that a list has more than once, as twins have their parents'."""
    return {
        email
        for emails in lists
        for email, count in Counter(map(str.casefold, emails)).items()
        if count > 1
    }


def _words(name: str) -> str:
    """Return the words of a name without accents and case, in an order of their own."""
    return " ".join(sorted(labels.unaccented(name).replace("-", " ").split()))


def _matching(
    by: Mapping[str, Sequence[Student]], entry: roster.Entry
) -> tuple[Student | None, str]:
    """Return the student that a line of a roster identifies, or why the line is ambiguous.

    Args:
        by: The students with the line's id, its e-mail and its name.
        entry: The line.
    """
    if by["id"] and by["email"] and by["id"][0] != by["email"][0]:
        return None, f"has the id of {by['id'][0].name} and the e-mail of {by['email'][0].name}."
    if sure := [*by["id"], *by["email"]]:
        return sure[0], ""
    alike = [each for each in by["name"] if not _differ(each, entry)]
    if len(alike) > 1:
        labels_of = ", ".join(each.label for each in alike)
        return None, f"has the name of {labels_of}. Add an id or an e-mail to it."
    return (alike[0] if alike else None), ""


def _differ(student: Student, entry: roster.Entry) -> bool:
    """Whether both have an id, or both an e-mail, and not the same."""
    return any(
        getattr(student, field) and getattr(entry, field)
        and getattr(student, field).casefold() != getattr(entry, field).casefold()
        for field in ("id", "email")
    )  # fmt: skip
