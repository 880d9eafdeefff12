"""`./lab bench`: Grappe beside an expert's script and Ansible, in one run on one sandbox."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import pathlib
import sys
import tempfile
from typing import Any

from bench import classroom, fragments, long_connection, many_labs, one_lab, report
from bench.testbed import IMAGE, UP, Testbed, environment_of, raised_limits
from cli import environment, progress
from cli import sandbox as commands
from core import names
from hosts import command, connections
from sandbox import lifecycle, project_copy
from sandbox.layout import Layout

SANDBOX = "grappe-bench"


def run(options: argparse.Namespace) -> int:
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
            _measure(testbed, ansible, options, results)
    finally:
        connections.close_all()
        lifecycle.down(layout)
        # Keep the results from before a failure.
        if results.keys() & {"contest", "crowd", "fragments", "class", "connection"}:
            _keep(results, ansible, options)
    return 0


def _keep(results: dict[str, Any], ansible: pathlib.Path, options: argparse.Namespace) -> None:
    target = pathlib.Path(options.to)
    target.mkdir(parents=True, exist_ok=True)
    (target / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    picture = [str(ansible / "bin" / "python"), str(environment.ROOT / "bench" / "plot.py"),
               str(target / "results.json"), str(target / "results.svg")]  # fmt: skip
    drawn = command.execute(picture, timeout=120)
    if not drawn.ok:
        sys.stderr.write(drawn.tail() + "\n")
    sys.stdout.write(json.dumps(results) + "\n" if options.json else report.tables(results))


def _measure(
    testbed: Testbed,
    ansible: pathlib.Path,
    options: argparse.Namespace,
    results: dict[str, Any],
) -> None:
    results |= {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "machine": report.machine(),
        "host": lifecycle.versions(testbed.layout),
        "rounds": options.rounds,
    }
    with progress.step("image"):
        testbed.project.image("image", recipe="standin", alias=IMAGE)
        testbed.pulumi("image", *UP)
    if "contest" in options.parts:
        with progress.step("one student") as step:
            step.report("an expert's script, Ansible and Grappe, in turns")
            measured = one_lab.run(testbed, ansible, options.rounds)
            results |= {**measured, "beside": one_lab.beside(testbed)}
    if "fragments" in options.parts:
        with progress.step("one more") as step:
            step.report(f"{', '.join(map(str, options.fragments))} fragments already there")
            results["fragments"] = fragments.run(testbed, options.fragments, options.rounds)
    if "class" in options.parts:
        with progress.step("a class") as step:
            step.report(f"{', '.join(map(str, options.classes))} students")
            results["class"] = classroom.run(testbed, options.classes)
    if "connection" in options.parts:
        with progress.step("a long connection") as step:
            step.report(f"{options.minutes:g} minutes, ten labs come and go")
            results["connection"] = long_connection.run(testbed, options.minutes)
    if "crowd" in options.parts:
        with progress.step("many students") as step:
            step.report(f"{', '.join(map(str, options.students))} at the same time")
            many_labs.run(testbed, options.students, results.setdefault("crowd", []))
