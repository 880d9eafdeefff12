"""`./lab bench`: Grappe beside an expert's script and Ansible, in one run on one sandbox."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from bench import classroom, fragments, long_connection, many_labs, one_lab, report
from bench.testbed import IMAGE, UP, Testbed, environment_of, raised_limits
from cli import environment, options, progress
from cli import sandbox as commands
from core import names
from hosts import command, connections
from sandbox import lifecycle, project_copy
from sandbox.layout import Layout

SANDBOX = "grappe-bench"
PARTS = ("contest", "crowd", "fragments", "class", "connection")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes of the measurements: repetitions, students, classes, fragments, minutes."""

    rounds: int
    students: list[int]
    classes: list[int]
    fragments: list[int]
    minutes: float


def run_options(parser: options.Parser) -> None:
    """Add the options of `bench`."""
    parser.add_argument(
        "parts", nargs="*", default=PARTS, metavar="PART",
        help=f"{', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each measurement")
    text = "numbers of labs at the same time, one measurement each"
    parser.add_argument("--students", type=int, nargs="+", default=[1, 5, 10, 20], help=text)
    text = "numbers of students in a class, one measurement each"
    parser.add_argument("--classes", type=int, nargs="+", default=[20], help=text)
    text = "numbers of fragments on the host, one measurement each"
    parser.add_argument("--fragments", type=int, nargs="+", default=[1, 100, 1000, 4000], help=text)
    parser.add_argument("--minutes", type=float, default=15, help="minutes of a long connection")
    parser.add_argument("--to", default="docs/benchmarks", help="folder for results and picture")
    options.as_json(parser, "print the results as JSON")


def run(parts: Sequence[str], to: str, *, as_json: bool, **sizes: Any) -> int:
    """Measure, and write the results to the given folder."""
    layout = Layout(SANDBOX)
    os.environ["GRAPPE_SANDBOX"] = SANDBOX
    # Cache bytecode, as for a user.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    commands.have_packages()
    with progress.step("ansible") as step:
        step.report("its own python environment")
        ansible = environment_of(names.cache() / "bench")
    lifecycle.down(layout)
    with progress.step("lab host") as step:
        lifecycle.up(layout, step.report)
        step.detail = lifecycle.versions(layout)
    environment.apply()
    results: dict[str, Any] = {}
    try:
        with raised_limits(), tempfile.TemporaryDirectory(prefix="grappe-bench-") as folder:
            env = environment.prepare(lambda _text: None)
            testbed = Testbed(layout, project_copy.ProjectCopy(pathlib.Path(folder), layout, env))
            _measure(testbed, ansible, parts, Sizes(**sizes), results)
    finally:
        connections.close_all()
        lifecycle.down(layout)
        # Keep the results from before a failure.
        if results.keys() & set(PARTS):
            _keep(results, ansible, pathlib.Path(to))
            sys.stdout.write(json.dumps(results) + "\n" if as_json else report.tables(results))
    return 0


def _keep(results: dict[str, Any], ansible: pathlib.Path, target: pathlib.Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    picture = [str(ansible / "bin" / "python"), str(environment.ROOT / "bench" / "plot.py"),
               str(target / "results.json"), str(target / "results.svg")]  # fmt: skip
    drawn = command.execute(picture, timeout=120)
    if not drawn.ok:
        sys.stderr.write(drawn.tail() + "\n")


def _measure(
    testbed: Testbed,
    ansible: pathlib.Path,
    parts: Sequence[str],
    sizes: Sizes,
    results: dict[str, Any],
) -> None:
    results |= {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "host": lifecycle.versions(testbed.layout),
        "rounds": sizes.rounds,
    }
    with progress.step("image"):
        testbed.project.image("image", recipe="standin", alias=IMAGE)
        testbed.pulumi("image", *UP)
    if "contest" in parts:
        with progress.step("one student") as step:
            step.report("an expert's script, Ansible and Grappe, in turns")
            measured = one_lab.run(testbed, ansible, sizes.rounds)
            results |= {**measured, "beside": one_lab.beside(testbed)}
    if "fragments" in parts:
        with progress.step("one more") as step:
            step.report(f"{', '.join(map(str, sizes.fragments))} fragments on the host already")
            results["fragments"] = fragments.run(testbed, sizes.fragments, sizes.rounds)
    if "class" in parts:
        with progress.step("a class") as step:
            step.report(f"{', '.join(map(str, sizes.classes))} students")
            results["class"] = classroom.run(testbed, sizes.classes)
    if "connection" in parts:
        with progress.step("a long connection") as step:
            step.report(f"{sizes.minutes:g} minutes, ten labs come and go")
            results["connection"] = long_connection.run(testbed, sizes.minutes)
    if "crowd" in parts:
        with progress.step("many students") as step:
            step.report(f"{', '.join(map(str, sizes.students))} at the same time")
            many_labs.run(testbed, sizes.students, results.setdefault("crowd", []))
