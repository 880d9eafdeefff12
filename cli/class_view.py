"""Views of a class for its teacher: new students, states, and a row each during runs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from classroom.class_file import ClassFile, Student
from classroom.runner import Row
from cli.progress import duration
from views import table

MARKS = {"waiting": " ", "running": "…", "done": "✓", "failed": "✗", "skipped": "-"}
REFRESHES = 4
TEXT = 64
# Characters of a line beside its text.
FRAME = 30


def created(name: str, file: ClassFile, joined: Sequence[Student]) -> str:
    """Return the summary of `class new`."""
    lines = [f"classes/{name}.yaml: {_students(len(file.students))}, {len(joined)} of them new"]
    if joined:
        numbers = [student.number for student in joined]
        last = f" to {name}-{joined[-1].label}" if len(joined) > 1 else ""
        upper = f" to {max(numbers)}" if len(joined) > 1 else ""
        lines.append(f"  number {min(numbers)}{upper}, stack {name}-{joined[0].label}{last}")
    renamed = [each for each in joined if each.label != each.name.split()[0].lower()]
    if renamed:
        shown = ", ".join(f"{each.name} -> {each.label}" for each in renamed[:6])
        more = f", and {len(renamed) - 6} more" if len(renamed) > 6 else ""  # noqa: PLR2004
        lines.append(f"  labels: {shown}{more}")
    return "\n".join(lines) + "\n"


def status(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the recorded state of each student as a table."""
    heads = ("student", "name", "number", "stack", "servers", "state")
    cells = [
        (row["student"], row["name"], str(row["number"]), row["stack"], str(row["servers"] or "-"),
         row["state"])
        for row in rows
    ]  # fmt: skip
    return "\n".join(table.render(heads, cells)) + "\n"


def summed_up(rows: Sequence[Row], seconds: float, *, by: str = "") -> str:
    """Return the results of all runs, and the command that retries those that failed.

    Args:
        rows: The runs.
        seconds: How long all of them took.
        by: The option before names of rows, as `--only `; empty if the command takes bare names.
    """
    states = [row.state for row in rows]
    words = [
        f"{states.count(state)} {word}"
        for state, word in (("done", "done"), ("failed", "failed"), ("skipped", "not begun"))
        if state in states
    ]
    lines = [f"{', '.join(words) or 'nobody'} · {duration(seconds)}"]
    if again := [row.name for row in rows if row.state in {"failed", "skipped"}]:
        few = " ".join(again) if len(again) < 12 else ""  # noqa: PLR2004
        lines.append(f"Again, for those: the same command with {by}{few or 'their names'}")
        logged = [row for row in rows if row.state == "failed" and row.log]
        lines += [f"  {row.name:<16} log: {row.log}" for row in logged][:12]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def showing(rows: Sequence[Row], *, as_json: bool) -> Iterator[_Lines | _Live]:
    """Show rows while they change: live on a terminal, else one line an event."""
    if as_json:
        yield _Lines(as_json=True)
    elif sys.stderr.isatty():
        with _Live(rows) as live:
            yield live
    else:
        yield _Lines(as_json=False)


class _Lines:
    """One line an event: when a run begins and when it ends."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._shown_states: dict[str, str] = {}

    def changed(self, row: Row) -> None:
        """Print a row if its state has changed."""
        with self._lock:
            if self._shown_states.get(row.name) == row.state:
                return
            self._shown_states[row.name] = row.state
            if self._as_json:
                event = {"student": row.name, "stack": row.stack, "state": row.state,
                        "text": row.text, "seconds": round(row.took, 1),
                        "log": row.log}  # fmt: skip
                _print(json.dumps(event))
            elif row.state != "running":
                _print(line(row))
            else:
                sys.stderr.write(f"… {row.name}\n")

    def wait(self) -> None:
        """Let some time pass."""
        time.sleep(0.1)


class _Live:
    """A row a student on a terminal, redrawn while the runs go on."""

    def __init__(self, rows: Sequence[Row]) -> None:
        # Imported here: it takes half as long as a whole command.
        from rich import console, live  # noqa: PLC0415

        self._rows = rows
        screen = console.Console(stderr=True, highlight=False)
        self._live = live.Live(console=screen, refresh_per_second=REFRESHES, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()
        for row in self._rows:
            _print(line(row))

    def changed(self, row: Row) -> None:
        """Do nothing: `wait` shows all rows."""

    def wait(self) -> None:
        """Show the rows, and let some time pass."""
        width = self._live.console.width
        from rich.text import Text  # noqa: PLC0415

        # Hide finished rows if the screen cannot hold all.
        height = max(4, self._live.console.height - 3)
        going = [row for row in self._rows if row.state == "running"]
        others = [row for row in self._rows if row.state != "running"]
        shown = (
            going + others[-max(0, height - len(going)) :]
            if len(self._rows) > height
            else self._rows
        )
        states = [row.state for row in self._rows]
        foot = ", ".join(
            f"{states.count(state)} {word}"
            for state, word in (("done", "done"), ("failed", "failed"), ("running", "under way"),
                                ("waiting", "to go"))
            if state in states
        )  # fmt: skip
        self._live.update(Text("\n".join([*(line(row, width) for row in shown), foot])))
        time.sleep(1 / REFRESHES)


def _print(text: str) -> None:
    """Print a line; a closed output does not end the runs."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"warning: the rows cannot be printed: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def line(row: Row, width: int = TEXT + FRAME) -> str:
    """Return a row in one line: mark, student, progress or result, duration."""
    text = " ".join(row.text.split())
    most = max(8, min(TEXT, width - FRAME))
    short = text if len(text) <= most or row.state == "failed" else text[: most - 1] + "…"
    took = duration(row.took) if row.state in {"running", "done", "failed"} else ""
    return f"{MARKS[row.state]} {row.name:<16} {short:<{most}} {took:>9}".rstrip()


def _students(count: int) -> str:
    return "1 student" if count == 1 else f"{count} students"
