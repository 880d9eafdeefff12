"""Kill a class's one process, or engines of it, in the middle of an `up` or a `down`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Callable

from campaign import faults
from campaign.descendants import descendants
from sandbox.inventory import difference
from sandbox.project_copy import ProjectCopy

CLASS = "troupe"
JOBS = "4"
INTERRUPT = "nobody, by Ctrl-C"
VICTIMS = ("the one process", "an engine", "all engines", INTERRUPT)
# Seconds that a run without its killed part may take to end.
ENDS = 240


@dataclasses.dataclass(frozen=True)
class ClassKill:
    """One killed run of a class.

    Attributes:
        command: What was killed: `up` or `down`.
        victim: One of `VICTIMS`.
        seconds: The seconds of the run before the kill.
        then: The commands that followed.
        lost: What they found lost, or left; empty without any.
    """

    command: str
    victim: str
    seconds: float
    then: str
    lost: str


def _engines(pid: int) -> list[int]:
    lines = descendants(pid).items()
    return [each for each, line in lines if line.split(" ")[0].endswith("pulumi")]


def _strike(victim: str, dice: random.Random, pid: int) -> None:
    """Kill the victim of a run of the class, whose process is `pid`."""
    victims = _engines(pid) if "engine" in victim else [pid]
    if victims and victim == "an engine":
        victims = [dice.choice(victims)]
    for each in victims:
        os.kill(each, signal.SIGINT if victim == INTERRUPT else signal.SIGKILL)


def run(
    project: ProjectCopy,
    students: int,
    moments: int,
    inventory: Callable[[], dict[str, str]],
    *,
    report: Callable[[str], None],
    seed: int,
) -> list[ClassKill]:
    """Make a class; kill runs of it at random moments, each followed by `up` or by `down`.

    Args:
        project: The project, without the class.
        students: The number of students.
        moments: The number of killed runs.
        inventory: Takes the hosts' inventory.
        report: Called with progress.
        seed: The random seed of victims, commands and moments.
    """
    dice = random.Random(seed)  # noqa: S311 - the same again by its seed
    roster = project.folder / "troupe.csv"
    roster.write_text("Nom\n" + "".join(f"eleve{n}\n" for n in range(1, students + 1)))
    project.lab("class", "new", CLASS, "--roster", str(roster), "--host", project.layout.host_url,
                "--image", "standin", "--workstation", project.layout.workstation_url)  # fmt: skip
    before, length = inventory(), {}
    for command in ("up", "down"):
        started = time.monotonic()
        project.lab(*_words(command))
        length[command] = time.monotonic() - started
    kills = []
    for number in range(moments):
        command, victim = dice.choice(("up", "up", "down")), VICTIMS[number % len(VICTIMS)]
        if command == "down":
            project.lab(*_words("up"))
        seconds = round(dice.random() * length[command], 2)
        log = project.folder / f"class-{number}.log"
        _kill(project, command, functools.partial(_strike, victim, dice), seconds, log)
        then = dice.choice((("up", "down"), ("down",)))
        lost = [*_after(project, then), *difference(before, inventory())]
        lost += faults.unhandled(log.read_text(errors="replace"))
        kills.append(ClassKill(command, victim, seconds, ", ".join(then), "; ".join(lost)))
        report(f"{number + 1} of {moments}: {kills[-1]}")
        if lost:
            break
    return kills


def _words(command: str) -> list[str]:
    return ["class", command, CLASS, "--jobs", JOBS, *(["--yes"] if command == "down" else [])]


def _kill(
    project: ProjectCopy,
    command: str,
    kill: Callable[[int], None],
    seconds: float,
    log: pathlib.Path,
) -> None:
    """Start a run of the class, kill its victim, and wait for the rest of it."""
    with log.open("wb") as stream:
        started = subprocess.Popen(
            ["./lab", *_words(command)], cwd=project.folder, env=project.env, stdout=stream,
            stderr=stream, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        kill(started.pid)
    started.wait(ENDS)


def _after(project: ProjectCopy, commands: tuple[str, ...]) -> list[str]:
    """Run the commands; after an `up`, a check, and an `up` that finds nothing to do."""
    lost = []
    for command in commands:
        try:
            project.lab(*_words(command))
            if command == "up":
                project.lab("class", "check", CLASS)
                again = project.lab(*_words("up"))
                if "created" in again or "updated" in again:
                    lost.append(f"something was left to do: {again[-300:]}")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            lost.append(f"{command} failed: {str(error)[-600:]}")
    return lost
