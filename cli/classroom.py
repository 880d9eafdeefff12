"""`./lab class`: one command for all students of a class."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from checks import room
from classroom import class_file, runner, sleep
from classroom.class_file import ClassFile, Student
from cli import card as single
from cli import check as looks
from cli import down as downs
from cli import environment, labs, progress, stack
from cli import up as ups
from core import errors, problems
from engine.stack import Stack
from hosts import connections
from providers.lxd import daemon
from stacks import files, settings
from views import cards, check, classroom

# A line of what the engine sums up: `+-1 to replace`.
_PLANNED = re.compile(r"^\s*(?:\+-|[-+~])\s*(\d+) to (\w+)$", re.MULTILINE)


def up(options: argparse.Namespace) -> int:
    """Bring the class up; run again it goes on, and mends what has drifted."""
    made, students = _chosen(options)
    _demand_room(options, made, students)
    return _run_all(options, students, _up)


def doze(options: argparse.Namespace) -> int:
    """Stop the class's servers; they keep all they have, and the next `up` leaves them asleep."""
    _made, students = _chosen(options)
    return _run_all(options, students, lambda row, engine: _lie(row, engine, asleep=True))


def wake(options: argparse.Namespace) -> int:
    """Start servers that `sleep` stopped, or whoever wrote `state: stopped`."""
    _made, students = _chosen(options)
    return _run_all(options, students, lambda row, engine: _lie(row, engine, asleep=False))


def preview(options: argparse.Namespace) -> int:
    """Show what `up` would do, a row each."""
    _made, students = _chosen(options)
    return _run_all(options, students, _preview)


def down(options: argparse.Namespace) -> int:
    """Take the class down; its files stay."""
    _made, students = _chosen(options)
    standing = [
        each for each in students if stack.recorded(class_file.stack_of(options.name, each))
    ]
    names = ", ".join(each.label for each in standing) or "nobody is up"
    question = f"Take {len(standing)} labs of {options.name} down? What is in them goes: {names}."
    if standing and not progress.confirm(question, yes=options.yes):
        return 1
    return _run_all(options, students, _down)


def status(options: argparse.Namespace) -> int:
    """Say of each student what is recorded here; no host is asked."""
    made, students = _chosen(options)
    rows = []
    for student in students:
        name = class_file.stack_of(options.name, student)
        recorded = stack.recorded(name)
        servers = _servers(recorded)
        state = "no stack file" if not stack.file_of(name).exists() else "down"
        if servers:
            whole = any((item.get("outputs") or {}).get("servers") for item in recorded)
            state = "up" if whole else "its `up` did not end"
        rows.append({"student": student.label, "name": student.name, "stack": name,
                     "number": student.number, "state": state,
                     "servers": len(servers)})  # fmt: skip
    if options.json:
        sys.stdout.write(
            json.dumps({"class": options.name, "host": made.host, "students": rows}) + "\n"
        )
    else:
        sys.stdout.write(classroom.status(rows))
    return 0


def look(options: argparse.Namespace) -> int:
    """Try every way to every server of the class; exit 0 well, 1 not, 2 could not look."""
    _made, students = _chosen(options)
    rows: list[check.Row] = []
    drifts: dict[str, Any] = {}
    blind: list[str] = []
    lock = threading.Lock()

    def one(name: str) -> None:
        try:
            found, drift = looks.look_at(name)
        except errors.GrappeError as error:
            with lock:
                blind.append(f"{name}: {error}")
            return
        with lock:
            rows.extend(found)
            drifts[name] = drift

    names = [class_file.stack_of(options.name, each) for each in students]
    each([name for name in names if stack.recorded(name)], one, at_once=looks.TOGETHER)
    blind += [f"{name}: is down" for name in names if not stack.recorded(name)]
    order = [each.label for each in students]
    rows.sort(key=lambda row: (order.index(row.student), row.server))
    return looks.told(rows, drifts, blind, as_json=options.json)


def card(options: argparse.Namespace) -> int:
    """Write a page a student to print, and a table of the same facts; both hold passwords."""
    _made, students = _chosen(options)
    found: dict[str, dict[str, Any]] = {}
    lock = threading.Lock()
    named = {class_file.stack_of(options.name, each): each for each in students}

    def one(name: str) -> None:
        lab = labs.standing(name)
        shown = cards.student(
            lab.spec, single.with_fingerprints(lab.spec, lab.cards), name=named[name].name,
            password=labs.password(name) if lab.spec.post_install else "",
        )  # fmt: skip
        with lock:
            found[name] = shown

    standing = [name for name in named if _servers(stack.recorded(name))]
    if not standing:
        raise errors.BadInputError(
            f"nobody of {options.name} is up", do=f"./lab class up {options.name}"
        )
    each(standing, one)
    ordered = [found[name] for name in standing]
    folder = class_file.path_of(environment.ROOT, options.name).parent
    for suffix, text in (
        ("html", cards.page(options.name, ordered)),
        ("csv", cards.table(ordered)),
    ):
        path = folder / f"{options.name}-cards.{suffix}"
        path.touch(mode=0o600)
        path.write_text(text)
        sys.stdout.write(f"classes/{path.name}\n")
    missing = [each.label for name, each in named.items() if name not in found]
    if missing:
        sys.stderr.write(f"not up, and without a card: {', '.join(missing)}\n")
    return 0 if not missing else 1


# What each command does with one student.


def _up(row: runner.Row, engine: Engine) -> str:
    made = stack.select(row.stack)
    stack.ready(made)
    ups.have_id(made)
    counts = engine.run(made, *stack.UP)
    return "up, nothing to do" if not counts else f"up: {_counted(counts)}"


def _lie(row: runner.Row, engine: Engine, *, asleep: bool) -> str:
    if not _servers(stack.recorded(row.stack)):
        return "is down"
    files.read(stack.folder(), row.stack)
    sleep.put(stack.file_of(row.stack), asleep=asleep)
    _up(row, engine)
    return "asleep" if asleep else "awake"


def _preview(row: runner.Row, engine: Engine) -> str:
    made = stack.select(row.stack)
    stack.ready(made)
    engine.run(made, "preview")
    return _planned(pathlib.Path(row.log).read_text())


def _down(row: runner.Row, engine: Engine) -> str:
    if not stack.file_of(row.stack).exists() or not stack.state_of(row.stack).path.exists():
        return "was down"
    made = stack.select(row.stack)
    stack.ready(made)
    left = downs.take_down(made, lambda: engine.run(made, *stack.DOWN))
    return "down" if not left else f"down, and {left} that unfinished runs left"


@dataclasses.dataclass
class Engine:
    """The engine's runs of one student's stack, in this process; what they say goes into a log."""

    row: runner.Row
    changed: Callable[[runner.Row], None]
    started: dict[str, subprocess.Popen[str]]
    stopped: threading.Event

    def run(self, made: Stack, *arguments: str) -> dict[str, int]:
        """Run a command of the engine; return how many resources were created, updated, deleted.

        Raises:
            errors.CommandError: It failed; says what the log says of it.
            errors.CancelledError: It was interrupted before it began.

        """
        from components import program  # noqa: PLC0415 - most commands need no engine
        from engine import attached  # noqa: PLC0415

        counts: collections.Counter[str] = collections.Counter()

        def note(what: str, urn: str) -> None:
            counts[what] += 1
            kind, _, name = urn.rpartition("::")
            self.row.text = f"{what} {kind.rpartition(':')[2]} {name}"
            self.changed(self.row)

        with attached.serve(program.run, stack.PROJECT) as server, open(self.row.log, "a") as log:  # noqa: PTH123
            extra = server.begin(arguments[0], "", note)
            if self.stopped.is_set():
                raise errors.CancelledError("interrupted before the engine began")
            process = made.start(*arguments, *extra, log=log, env=server.environment)
            self.started[self.row.stack] = process
            if self.stopped.is_set():
                # The interrupt came while it was started, and did not find it.
                process.send_signal(signal.SIGINT)
            process.wait()
            del self.started[self.row.stack]
        if process.returncode:
            text = pathlib.Path(self.row.log).read_text(errors="replace")
            raise errors.CommandError(_reason(text))
        return dict(counts)


def _run_all(
    options: argparse.Namespace, students: Sequence[Student],
    act: Callable[[runner.Row, Engine], str],
) -> int:  # fmt: skip
    """Do something with every student's stack; show a row each, and sum up."""
    environment.apply()
    os.chdir(environment.ROOT)
    folder = environment.STATE / "logs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for student in students:
        log = folder / f"{student.label}.log"
        log.write_text("")
        rows.append(
            runner.Row(student.label, class_file.stack_of(options.name, student), log=str(log))
        )
    started: dict[str, subprocess.Popen[str]] = {}
    began = time.monotonic()
    with classroom.showing(rows, as_json=options.json) as show:
        made = runner.Runner(
            rows, lambda row: act(row, Engine(row, show.changed, started, made.stopped)),
            show.changed,
        )  # fmt: skip
        with _interruptible(made, started):
            well = made.run(options.jobs, show.wait)
    sys.stderr.write(classroom.summed_up(rows, time.monotonic() - began))
    return 0 if well else 1


@contextlib.contextmanager
def _interruptible(
    made: runner.Runner, started: dict[str, subprocess.Popen[str]]
) -> Iterator[None]:
    """Have a Ctrl-C begin no other run and end those under way; the second ends them at once."""
    turns: list[float] = []

    def interrupt(_number: int, _frame: object) -> None:
        turns.append(time.monotonic())
        made.stop()
        sys.stderr.write("interrupted: what is under way ends at a safe point; again, at once\n")
        for process in list(started.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT if len(turns) == 1 else signal.SIGKILL)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if turns:
        raise KeyboardInterrupt


def _reason(text: str) -> str:
    """Return what a log says failed: the last error with what was seen, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for place in range(len(lines) - 1, -1, -1):
        words = lines[place].partition("error: ")[2].removeprefix("Exception calling application: ")
        if words and words != "update failed" and not words.startswith("Resource monitor"):
            more = [
                line
                for line in lines[place + 1 : place + 4]
                if line.startswith(("seen:", "grappe:"))
            ]
            return " ".join([words, *more])
    return lines[-1] if lines else "the engine said nothing"


def _planned(text: str) -> str:
    """Return what a preview counts, in one line."""
    _, _, resources = text.rpartition("\nResources:\n")
    found = [f"{count} to {what}" for count, what in _PLANNED.findall(resources)]
    told = text.rpartition("\nDiagnostics:\n")[2]
    if drifted := sum(" has drifted: " in line for line in told.splitlines()):
        found.append(f"{drifted} drifted")
    return ", ".join(found) or "nothing to do"


def _counted(counts: Mapping[str, int]) -> str:
    names = {"creating": "created", "updating": "updated", "deleting": "deleted"}
    return ", ".join(f"{count} {names[what]}" for what, count in sorted(counts.items()))


def _chosen(options: argparse.Namespace) -> tuple[ClassFile, list[Student]]:
    """Return the class and the students that are named; all where none is.

    Raises:
        errors.BadInputError: A name is none of the class.

    """
    made = class_file.read(environment.ROOT, options.name)
    demand_states_here()
    known = {each.label: each for each in made.students}
    names = list(dict.fromkeys(options.students))
    if wrong := [name for name in names if name not in known]:
        near = "".join(problems.near(name, known) for name in wrong)
        raise errors.BadInputError(
            f"{', '.join(wrong)} is no student of {options.name}.{near}",
            do=f"./lab class status {options.name} lists them",
        )
    return made, [known[name] for name in names] or list(made.students)


def demand_states_here() -> None:
    """Refuse where states are kept elsewhere: what is up is read in this folder.

    Raises:
        errors.BadInputError: PULUMI_BACKEND_URL says where else.

    """
    if not stack.is_here():
        raise errors.BadInputError(
            "`lab class` reads in .state/ which labs are up, and PULUMI_BACKEND_URL keeps "
            "states elsewhere; nothing was done",
            do="unset PULUMI_BACKEND_URL, or use ./lab up STACK for each",
        )


def _demand_room(options: argparse.Namespace, made: ClassFile, students: Sequence[Student]) -> None:
    """Say what the lab host has left; refuse where the servers that are to come do not fit.

    Raises:
        errors.BadInputError: They do not, and nobody said `--anyway`.

    """
    down = [
        class_file.stack_of(options.name, each) for each in students
        if not _servers(stack.recorded(class_file.stack_of(options.name, each)))
    ]  # fmt: skip
    if not down:
        return
    environment.apply()
    host = connections.connect(made.host)
    seen, above = (
        host.call("remote.surveys.room", {}),
        host.call("remote.processes", {"seconds": 0.1}),
    )
    lxd = daemon.on(host)
    here = room.Room(
        memory=above["available"], inotify=seen["inotify"],
        disk=_free_disk(lxd, str(made.settings.get("pool") or "default")),
        servers=len(above["containers"]),
        used=sum(each["memory"] for each in above["containers"]),
    )  # fmt: skip
    of_one = len(made.settings.get("servers") or settings.Settings().servers)
    wanted = len(down) * of_one
    found = list(room.findings(here, wanted))
    sys.stderr.write(f"{made.host}: {room.summary(here, wanted)}{'' if found else ' It fits.'}\n")
    if found and not options.anyway:
        raise errors.BadInputError(
            f"{made.host} has room for {room.fits(here) // of_one} of the {len(down)} labs "
            "that are down; nothing was begun",
            seen="\n".join(what for what, _mends in found),
            do="\n".join([*(mends for _what, mends in found), "or all the same: --anyway"]),
        )


def _free_disk(lxd: daemon.Daemon, pool: str) -> int:
    """Return the free bytes of a storage pool, or of the first where there is none of its name."""
    names = [url.rpartition("/")[2] for url in lxd.get("storage-pools")]
    if not names:
        return 0
    space = lxd.get(f"storage-pools/{pool if pool in names else names[0]}/resources")["space"]
    return max(0, int(space.get("total", 0)) - int(space.get("used", 0)))


def _servers(recorded: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [item for item in recorded if item["type"].endswith("/lxd:Container")]


def each(names: Sequence[str], act: Callable[[str], None], at_once: int = 4) -> None:
    """Do something with each stack, several at once; the first that fails is told."""
    environment.apply()
    rows = [runner.Row(name, name) for name in names]

    def one(row: runner.Row) -> str:
        act(row.stack)
        return ""

    if not runner.Runner(rows, one).run(at_once, lambda: time.sleep(0.05)):
        wrong = next(row for row in rows if row.state != runner.DONE)
        raise errors.CommandError(f"{wrong.stack}: {wrong.text}")
