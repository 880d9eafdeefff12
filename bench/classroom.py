"""Measure a class by one command, and by a plain `pulumi` for each student, as many at once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import subprocess
import threading
from typing import Any

from bench import many_labs, timing
from bench.testbed import DOWN, IMAGE, UP, Testbed
from campaign.descendants import descendants

NAME = "bench"
JOBS = 8
# Watching takes processor time too: only the run whose memory counts is watched.
PAUSE_SECONDS = 1.0


def run(testbed: Testbed, sizes: list[int]) -> list[dict[str, Any]]:
    """Return for each size the seconds of both ways, and the memory of the class command, in MB."""
    return [_measure(testbed, size) for size in sizes]


def _measure(testbed: Testbed, size: int) -> dict[str, Any]:
    bare = many_labs.bare(testbed, 2 * size)
    names = [f"s{index:03}" for index in range(size)]
    roster = testbed.project.folder / "roster.csv"
    roster.write_text("\n".join(["Nom", *names]))
    testbed.project.lab(
        "class", "new", NAME, "--roster", str(roster), "--host", testbed.layout.host_url,
        "--image", IMAGE, "--workstation", testbed.layout.workstation_url,
    )  # fmt: skip
    stacks = [f"{NAME}-{name}" for name in names]
    up, memory = _class(testbed, "up")
    nothing = _class(testbed, "up", watch=False)[0]
    plain_nothing = timing.seconds(_plain, testbed, stacks, UP)
    check = _class(testbed, "check", jobs=False, watch=False)[0]
    lesson = {
        "snapshot": _class(testbed, "snapshot", "start", watch=False)[0],
        "reset": _class(testbed, "reset", "--to", "start", "--yes", watch=False)[0],
        "sleep": _class(testbed, "sleep", watch=False)[0],
        "wake": _class(testbed, "wake", watch=False)[0],
    }
    down = _class(testbed, "down", "--yes", watch=False)[0]
    plain_up = timing.seconds(_plain, testbed, stacks, UP)
    plain_down = timing.seconds(_plain, testbed, stacks, DOWN)
    for name in stacks:
        (testbed.project.folder / "stacks" / f"Pulumi.{name}.yaml").unlink()
    (testbed.project.folder / "classes" / f"{NAME}.yaml").unlink()
    return {
        "students": size, "jobs": JOBS, "bare": bare, "up": round(up, 2),
        "plain_up": round(plain_up, 2), "nothing": round(nothing, 2),
        "plain_nothing": round(plain_nothing, 2), "check": round(check, 2), "down": round(down, 2),
        "plain_down": round(plain_down, 2), "memory": round(memory),
        **{phase: round(seconds, 2) for phase, seconds in lesson.items()},
    }  # fmt: skip


def _class(
    testbed: Testbed, action: str, *options: str, jobs: bool = True, watch: bool = True
) -> tuple[float, float]:
    """Run a command on the class; return its seconds, and its peak memory, in MB."""
    argv = ["./lab", "class", action, NAME, *options, *(["--jobs", str(JOBS)] if jobs else [])]
    most, ended = [0.0], threading.Event()

    def act() -> None:
        going = subprocess.Popen(
            argv, cwd=testbed.project.folder, env=testbed.project.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        watcher = threading.Thread(target=_watch, args=(going.pid, most, ended))
        if watch:
            watcher.start()
        _out, errors = going.communicate(timeout=1800)
        ended.set()
        if watch:
            watcher.join()
        if going.returncode:
            raise AssertionError(errors)

    return timing.seconds(act), most[0]


def _watch(pid: int, most: list[float], ended: threading.Event) -> None:
    while not ended.wait(PAUSE_SECONDS):
        most[0] = max(most[0], _memory(pid))


def _memory(pid: int) -> float:
    """Return the memory of a process and its descendants, as proportional share, in MB."""
    total = 0
    for each in (pid, *descendants(pid)):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError, StopIteration):
            lines = pathlib.Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _plain(testbed: Testbed, stacks: list[str], words: tuple[str, ...]) -> None:
    """Run a plain `pulumi` for each stack, as many at once."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda name: testbed.project.pulumi(*words, "-s", name), stacks))
