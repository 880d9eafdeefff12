"""`./lab class up|preview|down|sleep|wake`: run the engine for all students, a row each."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classroom import class_file, runner, sleep
from classroom.class_file import Student
from cli import class_capacity, environment, labs, options, progress, stack
from cli import classroom as classes
from cli import down as downs
from cli import up as ups
from core import errors
from core.run import Run
from engine.stack import Stack
from engine.state import name_of

# The number of stacks whose hosts are searched at the same time.
SEARCHES = 16
# A line of the engine's summary: `+-1 to replace`.
_PLANNED = re.compile(r"^\s*(?:\+-|[-+~])\s*(\d+) to (\w+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Show:
    """The options of every command here: JSON output, and the number of parallel runs."""

    as_json: bool
    jobs: int


def preview_options(parser: options.Parser) -> None:
    """Add the options that the commands here share."""
    options.students(parser)
    options.jobs(parser)


put_to_sleep_options = wake_options = preview_options


def up_options(parser: options.Parser) -> None:
    """Add the options of `up`."""
    preview_options(parser)
    text = "even if the lab host has too little room"
    parser.add_argument("--anyway", action="store_true", help=text)


def up(name: str, students: Sequence[str], *, anyway: bool, **show: Any) -> int:
    """Bring the class up; another run goes on from there, and repairs drift."""
    file, chosen = classes.chosen(name, students)
    class_capacity.demand(name, file, chosen, anyway=anyway)
    return _run_all(name, chosen, _up, Show(**show))


def put_to_sleep(name: str, students: Sequence[str], **show: Any) -> int:
    """Stop the class's servers; they keep their content, and the next `up` leaves them asleep."""
    _made, chosen = classes.chosen(name, students)
    return _run_all(name, chosen, functools.partial(_set_asleep, asleep=True), Show(**show))


def wake(name: str, students: Sequence[str], **show: Any) -> int:
    """Start servers that `sleep` or `state: stopped` has stopped."""
    _made, chosen = classes.chosen(name, students)
    return _run_all(name, chosen, functools.partial(_set_asleep, asleep=False), Show(**show))


def preview(name: str, students: Sequence[str], **show: Any) -> int:
    """Show what `up` would do, a row each."""
    _made, chosen = classes.chosen(name, students)
    return _run_all(name, chosen, _preview, Show(**show))


def down_options(parser: options.Parser) -> None:
    """Add the options of `down`."""
    preview_options(parser)
    options.yes(parser)


def down(name: str, students: Sequence[str], *, yes: bool, **show: Any) -> int:
    """Take the class down; its files stay."""
    file, chosen = classes.chosen(name, students)
    lost = _without_state([class_file.stack_of(name, each) for each in chosen])
    on_host = [each for each, error in lost.items() if error is None]
    up_now = [
        each for each in chosen
        if class_file.stack_of(name, each) in on_host
        or classes.is_up(class_file.stack_of(name, each))
    ]  # fmt: skip
    names = ", ".join(each.label for each in up_now)
    question = f"Take {len(up_now)} labs of {name} down? This deletes the content of {names}."
    if up_now and not progress.confirm(question, yes=yes):
        return 1
    act = functools.partial(_down, strays=classes.strays(name, file), lost=lost)
    return _run_all(name, chosen, act, Show(**show))


def _without_state(names: Sequence[str]) -> dict[str, errors.GrappeError | None]:
    """Return the stacks that are on their host, and in no state: it is lost, or an old backup.

    A stack without a state whose host does not answer has the error as its value: its lab may be
    there.
    """
    asked = [each for each in names if stack.file_of(each).exists() and not classes.is_up(each)]
    if not asked:
        return {}
    environment.apply()
    with concurrent.futures.ThreadPoolExecutor(SEARCHES) as pool:
        found = dict(zip(asked, pool.map(_search, asked), strict=True))
    return {
        each: error
        for each, (there, error) in found.items()
        if there or (error and _is_unwritten(each))
    }


def _is_unwritten(name: str) -> bool:
    """Whether no run has written a stack's state; the row itself reports an unreadable one."""
    try:
        return stack.is_unwritten(name)
    except errors.GrappeError:
        return False


def _search(name: str) -> tuple[bool, errors.GrappeError | None]:
    """Return whether the lab of a stack without a state is on its hosts, or why that is unknown."""
    try:
        return bool(downs.leftovers_of(name)), None
    except errors.GrappeError as error:
        return False, error
    except Exception as error:  # noqa: BLE001 - its row reports it; the others go on
        return False, errors.unexpected(error)


def _up(row: runner.Row, engine: Engine, *, changes: bool = False) -> str:
    """Bring a stack up; with `changes`, skip the comparison that finds nothing to do."""
    selected = stack.select(row.stack)
    stack.ready(selected)
    labs.demand_valid(row.stack)
    ups.have_id(selected)
    if not changes and engine.is_unchanged(selected, Run(command="up", rebuild="")):
        return "up, nothing to do"
    counts = engine.run(selected, *stack.UP)
    return "up, nothing to do" if not counts else f"up: {_counted(counts)}"


def _set_asleep(row: runner.Row, engine: Engine, *, asleep: bool) -> str:
    if not classes.servers(stack.recorded(row.stack)):
        return "is down"
    stack.select(row.stack)
    labs.demand_valid(row.stack)
    path = stack.file_of(row.stack)
    before = path.read_text()
    changes = sleep.put(path, asleep=asleep)
    try:
        _up(row, engine, changes=changes)
    except errors.GrappeError:
        # Restore the stack file: a later `up` must not finish what this command failed to do.
        stack.write(row.stack, before)
        raise
    if not asleep:
        return "awake"
    kept = sleep.ephemeral(path)
    return f"asleep, but for {', '.join(kept)}: ephemeral" if kept else "asleep"


def _preview(row: runner.Row, engine: Engine) -> str:
    selected = stack.select(row.stack)
    stack.ready(selected)
    labs.demand_valid(row.stack)
    if engine.is_unchanged(selected, Run(command="preview", rebuild="")):
        return "nothing to do"
    engine.run(selected, "preview")
    return _planned(pathlib.Path(row.log).read_text())


def _down(
    row: runner.Row,
    engine: Engine,
    *,
    strays: Sequence[str] = (),
    lost: Mapping[str, errors.GrappeError | None] | None = None,
) -> str:
    if not stack.file_of(row.stack).exists() and strays and not stack.recorded(row.stack):
        raise errors.BadInputError(
            f"{row.stack} has no stack file, and {', '.join(strays)} belongs to nobody here",
            do="restore its entry in the class file",
        )
    if not stack.file_of(row.stack).exists() and stack.recorded(row.stack):
        raise errors.BadInputError(
            f"stacks/Pulumi.{row.stack}.yaml is missing, and its lab is up",
            do="restore the file, or have `./lab class new` write it again from the roster",
        )
    lost = lost or {}
    if error := lost.get(row.stack):
        if not isinstance(error, errors.HostError):
            raise error
        raise errors.HostError(
            f"it has no state, and its host was not searched: {error.brief}",
            seen=error.seen, do=downs.or_forget(error, row.stack),
        ) from error  # fmt: skip
    no_state = _is_unwritten(row.stack) and row.stack not in lost
    if not stack.file_of(row.stack).exists() or no_state:
        return "was down"
    selected = stack.select(row.stack)
    stack.ready(selected)
    left = downs.take_down(selected, lambda: engine.take_down(selected))
    if row.stack in lost:
        return f"down, found on its host and in no state: {left} removed"
    return "down" if not left else f"down; also removed: {left} left by unfinished runs"


@dataclasses.dataclass
class Engine:
    """The engine's runs of one student's stack, in this process; their output goes into a log.

    Attributes:
        row: The student's.
        started: By stack, what interrupts its run: SIGINT at a safe point, SIGKILL at once.
        stopped: Set when no further run may begin.
    """

    row: runner.Row
    started: dict[str, Callable[[int], None]]
    stopped: threading.Event

    def is_unchanged(self, selected: Stack, this: Run) -> bool:
        """Return whether the stack has nothing to do, found without the engine.

        Raises:
            errors.CancelledError: An interrupt came.
        """
        lines: list[str] = []
        return self._without_engine(
            lambda: stack.is_unchanged(selected, this, lines.append), this, lines
        )

    def _without_engine(self, act: Callable[[], bool], this: Run, lines: list[str]) -> bool:
        """Act in this process, interruptible as the engine's runs are; write the log."""
        self.started[self.row.stack] = lambda _number: this.cancelled.set()
        try:
            done = not self.stopped.is_set() and act()
        except errors.GrappeError as error:
            lines.append(f"error: {error}")
            raise errors.CommandError(_reason(lines[-1])) from error
        finally:
            del self.started[self.row.stack]
            with open(self.row.log, "a") as log:  # noqa: PTH123
                log.writelines(f"{line}\n" for line in lines)
        if self.stopped.is_set() and not done:
            raise errors.CancelledError("interrupted")
        return done

    def take_down(self, selected: Stack) -> None:
        """Delete a stack's resources, without the engine where nothing needs it.

        Raises:
            errors.CommandError: One could not be deleted; shows the log's reason.
            errors.CancelledError: An interrupt came.
        """
        lines: list[str] = []

        def note(what: str, urn: str) -> None:
            self._note(what, urn)
            lines.append(self.row.text)

        this = Run(command="destroy", rebuild="", show=lines.append, changes=note)
        if not self._without_engine(lambda: stack.take_down(selected, this), this, lines):
            self.run(selected, *stack.DOWN)

    def run(self, selected: Stack, *arguments: str) -> dict[str, int]:
        """Run a command of the engine; return the counts of created, updated and deleted resources.

        Raises:
            errors.CommandError: It failed; shows the log's reason.
            errors.CancelledError: An interrupt came before it began.
        """
        from components import program  # noqa: PLC0415 - most commands need no engine
        from engine import attached  # noqa: PLC0415

        counts: collections.Counter[str] = collections.Counter()

        def note(what: str, urn: str) -> None:
            counts[what] += 1
            self._note(what, urn)

        with attached.serve(program.run, stack.PROJECT) as server, open(self.row.log, "a") as log:  # noqa: PTH123
            extra = server.begin(arguments[0], "", note)
            if self.stopped.is_set():
                raise errors.CancelledError("interrupted before the engine began")
            process = selected.start(*arguments, *extra, log=log, env=server.environment)
            self.started[self.row.stack] = process.send_signal
            if self.stopped.is_set():
                # The interrupt came during the start, and missed this process.
                process.send_signal(signal.SIGINT)
            process.wait()
            del self.started[self.row.stack]
        if process.returncode < 0:
            number = signal.Signals(-process.returncode).name
            raise errors.CommandError(f"{number} ended its engine; run it again")
        if process.returncode:
            text = pathlib.Path(self.row.log).read_text(errors="replace")
            raise errors.CommandError(_reason(text))
        return dict(counts)

    def _note(self, what: str, urn: str) -> None:
        self.row.text = f"{what} {name_of(urn)}"


def _run_all(
    name: str, students: Sequence[Student], act: Callable[[runner.Row, Engine], str], how: Show
) -> int:
    """Run `act` for every student's stack; show a row each, and a summary."""
    environment.apply()
    os.chdir(environment.ROOT)
    folder = environment.STATE / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for student in students:
        log = folder / f"{student.label}.log"
        log.write_text("")
        rows.append(runner.Row(student.label, class_file.stack_of(name, student), log=str(log)))
    started: dict[str, Callable[[int], None]] = {}
    runs = runner.Runner(rows, lambda row: act(row, Engine(row, started, runs.stopped)))

    def interrupted(turn: int) -> None:
        # The first interrupt ends runs at a safe point, a second one at once.
        sys.stderr.write(
            "interrupted: runs under way end at a safe point; interrupt again to end at once\n"
        )
        for end in list(started.values()):
            with contextlib.suppress(ProcessLookupError):
                end(signal.SIGINT if turn == 1 else signal.SIGKILL)

    return classes.show_runs(runs, interrupted, jobs=how.jobs, as_json=how.as_json)


# The engine's words before a mistake.
_RESOURCE = re.compile(r"^\S+ resource '\S+' has a problem: ")
# The beginnings of errors that only follow from another one.
_ENDED = ("Resource monitor", "the engine ended this registration")


def _reason(text: str) -> str:
    """Return a failure's reason from a log: the last error with details, else the last line."""
    # Lines of the engine's progress hold no reason.
    lines = [each for line in text.splitlines() if (each := line.strip()) and each[:2] != "@ "]
    for index in range(len(lines) - 1, -1, -1):
        words = lines[index].partition("error: ")[2].removeprefix("Exception calling application: ")
        if words.startswith("the stack is currently locked"):
            # The engine's own words recommend `pulumi cancel`, which would take the other's lock.
            return "another run of it is under way: wait for its end"
        if words and words != "update failed" and not words.startswith(_ENDED):
            more = [
                line
                for line in lines[index + 1 : index + 5]
                if line.startswith(("seen:", "grappe:", "do:"))
            ]
            return " ".join([_RESOURCE.sub("", words), *more])
    return lines[-1] if lines else "the engine printed nothing"


def _planned(text: str) -> str:
    """Return a preview's counts in one line."""
    _, _, resources = text.rpartition("\nResources:\n")
    counts = [f"{count} to {what}" for count, what in _PLANNED.findall(resources)]
    diagnostics = text.rpartition("\nDiagnostics:\n")[2]
    if drifted := sum(" has drifted: " in line for line in diagnostics.splitlines()):
        counts.append(f"{drifted} drifted")
    return ", ".join(counts) or "nothing to do"


def _counted(counts: Mapping[str, int]) -> str:
    names = {"creating": "created", "updating": "updated", "deleting": "deleted"}
    return ", ".join(f"{count} {names[what]}" for what, count in sorted(counts.items()))
