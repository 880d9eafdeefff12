"""Report progress: one line a step, on standard error, with its duration."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

from core import errors

LABEL_WIDTH = 20
TEXT_WIDTH = 52


class Step:
    """A step under way."""

    def __init__(self, label: str) -> None:
        self._label = label
        self.detail = ""
        self._on_terminal = sys.stderr.isatty()
        self._start = time.monotonic()

    def report(self, text: str) -> None:
        """Report the step's progress."""
        self.detail = text
        if self._on_terminal:
            sys.stderr.write(f"\r\x1b[K… {self._label:<{LABEL_WIDTH}} {text[:TEXT_WIDTH]}")
        else:
            sys.stderr.write(f"… {self._label:<{LABEL_WIDTH}} {text}\n")
        sys.stderr.flush()

    def end(self, mark: str) -> None:
        """Report the step's result."""
        took = duration(time.monotonic() - self._start, 1)
        line = f"{mark} {self._label:<{LABEL_WIDTH}} {self.detail:<{TEXT_WIDTH}} {took:>9}"
        start = "\r\x1b[K" if self._on_terminal else ""
        sys.stderr.write(f"{start}{_colour(mark, line)}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def step(label: str) -> Iterator[Step]:
    """Show a step, and its success or failure."""
    current = Step(label)
    try:
        yield current
    except BaseException:
        current.end("✗")
        raise
    current.end("✓")


def ask(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; without one, or with `yes`, return true."""
    if yes or not sys.stdin.isatty() or not sys.stderr.isatty():
        return True
    sys.stderr.write(f"{question} [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"", "y", "yes"}


def confirm(question: str, *, yes: bool) -> bool:
    """Ask before an action that cannot be undone; without a terminal, raise.

    Raises:
        errors.BadInputError: Standard input or error is no terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise errors.BadInputError(
            "this command asks before it acts, and there is no terminal to answer on",
            seen=question,
            do="repeat it with --yes",
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def answer(facts: object, text: str, *, as_json: bool) -> None:
    """Print a command's result: the facts as JSON for `--json`, else the text."""
    encoded = json.dumps(facts, default=dataclasses.asdict) if as_json else ""
    sys.stdout.write(f"{encoded}\n" if as_json else text)


def duration(seconds: float, digits: int = 0) -> str:
    """Return a duration for people."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.{digits}f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _colour(mark: str, line: str) -> str:
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return line
    return f"\x1b[{32 if mark == '✓' else 31}m{mark}\x1b[0m{line[1:]}"


Report = Callable[[str], None]
