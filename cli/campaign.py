"""`./lab campaign`: trials too long for the suite, in a sandbox of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from campaign import class_kills, faults, kills, many_labs
from cli import environment, options, progress
from cli import sandbox as commands
from core import errors
from hosts import command, connections
from sandbox import lifecycle, project_copy
from sandbox.inventory import inventory
from sandbox.layout import Layout

SANDBOX = "grappe-campaign"
PARTS = ("values", "kills", "faults", "labs", "class")
# A lab with one of each kind of resource, and an image from its recipe.
STUDENT = {
    "servers": [
        {"name": "yuno1", "recipe": "standin", "publish": "by-hand",
         "volumes": [{"name": "data", "path": "/srv/data", "size": "64MiB"}],
         "snapshots": ["fresh"]},
        {"name": "yuno2", "image": "by-hand"},
    ],
}  # fmt: skip
# The number of hypothesis examples, many more than in the suite.
EXAMPLES = 5000
VALUES = ("tests/unit/test_hostile.py", "tests/contract/test_crashes.py")
# Seconds of an `up` in which a fault may begin.
LENGTH = 9.0


@dataclasses.dataclass(frozen=True)
class Extent:
    """The extent of a campaign: kills of each stack, faults, labs at once, rounds, students."""

    moments: int
    fault: list[str] | None
    stacks: int
    rounds: int
    students: int


def run_options(parser: options.Parser) -> None:
    """Add the options of `campaign`."""
    parser.add_argument(
        "parts", nargs="*", default=PARTS, metavar="PART",
        help=f"{', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--hours", type=float, default=0, help="repeat for this long")
    parser.add_argument("--moments", type=int, default=30, help="how many kills of each stack")
    parser.add_argument("--fault", action="append", help="only this fault; repeatable")
    parser.add_argument("--stacks", type=int, default=12, help="how many labs at once")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds of them")
    parser.add_argument("--students", type=int, default=6, help="students in the class")
    parser.add_argument("--seed", type=int, default=0, help="repeat the campaign that printed it")
    options.as_json(parser, "print the outcomes as JSON")


def run(parts: Sequence[str], hours: float, seed: int, *, as_json: bool, **given: Any) -> int:
    """Run the chosen parts; exit 0 if nothing was lost, else 1."""
    extent = Extent(**given)
    _demand_known(parts, extent.fault or [])
    found: dict[str, list[Any]] = {}
    deadline = time.monotonic() + hours * 3600
    seed = seed or random.randrange(10**6)  # noqa: S311
    if "values" in parts:
        found["values"] = [_values()]
    if set(parts) - {"values"}:
        with _project() as made:
            for turn in itertools.count():
                _round(parts, extent, made, found, seed + turn)
                if time.monotonic() > deadline:
                    break
    progress.answer(found, render(found, seed), as_json=as_json)
    return 1 if _losses(found) else 0


def _values() -> str:
    """Run hypothesis with thousands of examples; return its output if it found something."""
    with progress.step("hostile values and power cuts") as step:
        argv = [sys.executable, "-m", "pytest", "-q", "--timeout", "3600", *VALUES]
        env = {**os.environ, "GRAPPE_EXAMPLES": str(EXAMPLES)}
        done = command.execute(argv, timeout=3600, env=env)
        step.detail = f"{EXAMPLES} each"
    return "" if done.ok else done.tail()


def _round(
    parts: Sequence[str],
    extent: Extent,
    made: project_copy.ProjectCopy,
    found: dict[str, list[Any]],
    seed: int,
) -> None:
    def survey() -> dict[str, str]:
        urls = (made.layout.host_url, made.layout.workstation_url)
        return inventory(*map(connections.connect, urls))

    if "kills" in parts:
        for stack in ("kim", "image"):
            with progress.step(f"kills of {stack}") as step:
                found.setdefault("kills", []).extend(
                    kills.run(made, stack, extent.moments, survey, step.report)
                )
    if "faults" in parts:
        dice = random.Random(seed)  # noqa: S311 - the same again by its seed
        for name in extent.fault or faults.FAULTS:
            with progress.step(name) as step:
                outcome = faults.run(made, "kim", name, round(dice.random() * LENGTH, 1), survey)
                found.setdefault("faults", []).append(outcome)
                step.detail = outcome.lost or f"{outcome.seconds} s in, {outcome.ended}, none lost"
            # The sandbox's machine may have rebooted.
            connections.close_all()
    if "labs" in parts:
        with progress.step(f"{extent.stacks} labs, {extent.rounds} rounds") as step:
            result = many_labs.run(
                made, extent.stacks, extent.rounds, survey, report=step.report, seed=seed
            )
            found.setdefault("labs", []).append(result)
            step.detail = f"{len(result.failed)} failed, {len(result.lost)} lost"
    if "class" in parts:
        with progress.step(f"kills of a class of {extent.students}") as step:
            found.setdefault("class", []).extend(
                class_kills.run(
                    made, extent.students, extent.moments, survey, report=step.report, seed=seed
                )
            )


@contextlib.contextmanager
def _project() -> Iterator[project_copy.ProjectCopy]:
    """Yield a project in a sandbox of its own; remove both at the end."""
    layout = Layout(SANDBOX)
    os.environ["GRAPPE_SANDBOX"] = SANDBOX
    commands.have_packages()
    lifecycle.down(layout)
    try:
        commands.bring_up(layout)
        environment.apply()
        with tempfile.TemporaryDirectory(prefix="grappe-campaign-") as folder:
            env = environment.prepare(lambda _text: None)
            made = project_copy.ProjectCopy(pathlib.Path(folder), layout, env)
            made.write("kim", 1, id="kimkimkimkim", tunnel={"relay": layout.relay_url}, **STUDENT)
            secret = ("grappe:password", "Only-for-this-1", "-s", "kim")
            made.pulumi("config", "set", "--secret", *secret)
            made.image("image", id="imageimage01", recipe="standin", alias="golden")
            yield made
    finally:
        connections.close_all()
        lifecycle.down(layout)


def _demand_known(parts: Sequence[str], chosen: Sequence[str]) -> None:
    """Refuse unknown parts and faults, all at once."""
    known = [("PART", parts, PARTS), ("--fault", chosen, tuple(faults.FAULTS))]
    wrong = [
        f"{key} {word!r} is not one of {', '.join(words)}"
        for key, given, words in known for word in given if word not in words
    ]  # fmt: skip
    if wrong:
        raise errors.BadInputError("; ".join(wrong), do="./lab campaign --help")


def _losses(found: dict[str, list[Any]]) -> list[str]:
    return [
        *filter(None, found.get("values", [])),
        *(kill.left for kill in found.get("kills", []) if kill.left),
        *(outcome.lost for outcome in found.get("faults", []) if outcome.lost),
        *(kill.lost for kill in found.get("class", []) if kill.lost),
        *(line for result in found.get("labs", []) for line in (*result.lost, *result.failed)),
    ]


def render(found: dict[str, list[Any]], seed: int) -> str:
    """Return the tables for docs/reliability.md."""
    lines = []
    if "values" in found:
        said = found["values"][0] or "none lost"
        lines += [f"{EXAMPLES} examples each of hostile values and power cuts: {said}", ""]
    if "kills" in found:
        lines += ["| stack | killed after | resources in its state | left after `down` |",
                  "|---|---|---|---|"]  # fmt: skip
        lines += [f"| {each.stack} | {each.seconds} s | {each.made} | {each.left or 'nothing'} |"
                  for each in found["kills"]]  # fmt: skip
    if "faults" in found:
        lines += ["| fault | after | the run | lost |", "|---|---|---|---|"]
        lines += [f"| {each.fault} | {each.seconds} s | {each.ended} | {each.lost or 'nothing'} |"
                  for each in found["faults"]]  # fmt: skip
    if "class" in found:
        lines += ["| killed | in a class's | after | then | lost |", "|---|---|---|---|---|"]
        lines += [f"| {each.victim} | {each.command} | {each.seconds} s | {each.then} | "
                  f"{each.lost or 'nothing'} |" for each in found["class"]]  # fmt: skip
    for result in found.get("labs", []):
        runs = ", ".join(f"{count} {what}" for what, count in sorted(result.runs.items()))
        lines += [
            f"labs at once: {runs}; failed: {len(result.failed)}; lost: {len(result.lost)}",
            f"reloads of HAProxy: {result.reloads}; a bystander: {result.read}",
        ]
        lines += [f"  {line}" for line in (*result.failed, *result.lost)]
    return "\n".join([*lines, "", f"seed {seed}", ""])
