"""Schedules as LXD takes them (`validate.IsCron` in its sources); pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PART = re.compile(r"(\*|([A-Za-z0-9]+)(?:-([A-Za-z0-9]+))?)(?:/([0-9]+))?")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# The fields of a schedule of cron's: name, least and most, and the names of its numbers.
_FIELDS: Sequence[tuple[str, int, int, Sequence[str]]] = (
    ("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS), ("day of the week", 0, 6, _DAYS),
)  # fmt: skip
_WRONG = 'is not a schedule: "@daily", or as cron has it, "0 6 * * *".'
_ALIASES = "@(?:hourly|daily|midnight|weekly|monthly|annually|yearly|startup|never)"


def problem(text: str) -> str:
    """Return what is wrong with a schedule: aliases, or five fields; or nothing."""
    if re.fullmatch(rf"{_ALIASES}(?:, {_ALIASES})*", text):
        return ""
    fields = text.split(" ")
    if len(fields) != len(_FIELDS):
        return _WRONG
    found = (
        _problem_of_part(field, part, known)
        for field, known in zip(fields, _FIELDS, strict=True)
        for part in field.split(",")
    )
    return next(filter(None, found), "")


def _problem_of_part(field: str, part: str, known: tuple[str, int, int, Sequence[str]]) -> str:
    name, first, last, names = known
    match = _PART.fullmatch(part)
    if not match:
        return _WRONG
    numbers = [_number(word, names) for word in match.groups()[1:3] if word]
    if None in numbers:
        return _WRONG
    given = [number for number in numbers if number is not None]
    if any(not first <= number <= last for number in given):
        return f"has {field} for the {name}, which goes from {first} to {last}."
    if given != sorted(given) or match.group(4) == "0":
        return f"has {field} for the {name}: from the lower to the higher, in steps of 1 or more."
    return ""


def _number(word: str, names: Sequence[str]) -> int | None:
    """Return the number of a field of cron's, or of its name; None for any other word."""
    if word.isdigit():
        return int(word)
    return names.index(word.lower()) if word.lower() in names else None
