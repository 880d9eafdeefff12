"""Mistakes in the user's input: each has its key, its value, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from core import errors, names


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One mistake in the user's input.

    Attributes:
        key: The setting, as the user writes it.
        reason: The value, what is wrong with it, and what would be right.
    """

    key: str
    reason: str


class Mistakes(ValueError):  # noqa: N818 - it is what it holds
    """Several mistakes at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(f"{m.key} {m.reason}" for m in mistakes))
        self.mistakes = mistakes


def in_program(mistakes: Iterable[Mistake], program: str) -> list[Mistake]:
    """Return mistakes whose `lxc` commands are those of the host's own program."""
    return [Mistake(each.key, names.in_program(each.reason, program)) for each in mistakes]


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint at the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


# A key, its value, and the problem or nothing.
Checks = Iterator[tuple[str, Any, str]]
# Instead of a value that the message does not show.
UNSHOWN = object()


def collect(checks: Iterable[tuple[str, Any, str]]) -> list[Mistake]:
    """Return the mistakes among `Checks`."""
    return [
        Mistake(key, problem if value is UNSHOWN else f"{show(value)} {problem}")
        for key, value, problem in checks
        if problem
    ]


# As YAML writes them.
_WORDS = {None: "null", True: "true", False: "false"}


def show(value: object) -> str:
    """Return a value for a message: quoted, short, printable."""
    text = _WORDS[value] if isinstance(value, bool | None) else str(value)
    short = text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return f'"{safe}"' if isinstance(value, str) else safe


def summary(mistakes: list[Mistake]) -> str:
    """Return mistakes as a message, one a line, safe for a terminal."""
    if mistakes and not any(mistake.key for mistake in mistakes):
        # A mistake without a key of the stack file is a whole message.
        return errors.escape("\n".join(mistake.reason for mistake in mistakes))
    width = max(len(mistake.key) for mistake in mistakes)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = [f"  {mistake.key:<{width}}  {mistake.reason}" for mistake in mistakes]
    return errors.escape("\n".join([f"{count}, nothing was changed", *lines]))
