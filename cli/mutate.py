"""`./lab mutate`: plant deliberate bugs, and see whether the fast tests detect each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import yaml

from cli import environment, options, progress
from core import errors

DATA = environment.ROOT / "tests" / "mutations.yaml"
# Its table names the test that detected each mutation at the last run.
RESULTS = environment.ROOT / "docs" / "mutations.md"
SKIPPED = shutil.ignore_patterns(
    ".git", ".venv", ".state", "__pycache__", ".*_cache", "Pulumi.*.yaml"
)
# Lint and types detect many bugs by their spelling; only a test of behaviour counts.
TESTS = ("-x", "-q", "-m", "not sandbox and not engine", "--deselect", "tests/unit/test_house.py")
# All fast tests on a slow machine, beside those of another mutation.
SECONDS = 400
# Exit statuses of pytest.
PASSED, NOTHING_RAN = 0, 5
TOGETHER = max(1, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Mutation:
    """One bug.

    Attributes:
        name: Its effect.
        file: The path of its file.
        old: The right text, which the file contains once.
        new: The wrong text.
    """

    name: str
    file: str
    old: str
    new: str


# Nothing changed: where the tests fail then, they would fail for every bug.
UNCHANGED = Mutation("no bug", "core/errors.py", "", "")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a mutation: the test that detected it, or nothing."""

    name: str
    killed_by: str


def run_options(parser: options.Parser) -> None:
    """Add the options of `mutate`."""
    text = "only those whose name contains this"
    parser.add_argument("--only", default="", metavar="WORDS", help=text)
    options.as_json(parser, "print the outcomes as JSON")


def run(only: str, *, as_json: bool) -> int:
    """Try every mutation; exit 0 if tests detect all, 1 if one survives.

    Raises:
        errors.BadInputError: The fast tests fail on the unchanged tree, or a mutation does not fit.
    """
    mutations = load(DATA.read_text(), environment.ROOT)
    if only:
        mutations = [item for item in mutations if only in item.name]
    before = recorded(RESULTS.read_text())
    started = time.monotonic()
    outcomes: list[Outcome] = []
    with (
        progress.step("mutations") as step,
        concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool,
    ):
        step.report("the unchanged tree")
        if failed := _try(UNCHANGED).killed_by:
            raise errors.BadInputError("the fast tests fail without any bug", seen=failed)
        files = [before.get(mutation.name, "") for mutation in mutations]
        for outcome in pool.map(_try, mutations, files):
            outcomes.append(outcome)
            step.report(f"{len(outcomes)} of {len(mutations)}: {outcome.name}")
        survived = [item for item in outcomes if not item.killed_by]
        step.detail = f"{len(outcomes) - len(survived)} of {len(outcomes)} detected"
    progress.answer(outcomes, render(outcomes, time.monotonic() - started), as_json=as_json)
    return 1 if survived else 0


def load(text: str, root: pathlib.Path) -> list[Mutation]:
    """Read mutations; refuse one whose file does not contain its text exactly once.

    Raises:
        errors.BadInputError: Some mutations do not fit the tree; lists all.
    """
    found = [Mutation(**item) for item in yaml.safe_load(text)]
    wrong = [
        f"{item.name}: {item.file} has it {count} times"
        for item in found
        if (count := (root / item.file).read_text().count(item.old)) != 1
    ]
    if wrong:
        raise errors.BadInputError("mutations that no longer fit the tree", seen="\n".join(wrong))
    return found


def recorded(text: str) -> dict[str, str]:
    """Return the test file that detected each mutation of a table of `render`."""
    rows = re.findall(r"^\| (.+?) \| ([\w/]+\.py)::.* \|$", text, re.MULTILINE)
    return {name: f"tests/{path}" for name, path in rows}


def render(outcomes: list[Outcome], seconds: float) -> str:
    """Return the table for docs/mutations.md."""
    rows = [f"| {item.name} | {item.killed_by or '**survived**'} |" for item in outcomes]
    survived = sum(not item.killed_by for item in outcomes)
    head = f"{len(outcomes)} mutations, {survived} survived, {seconds / 60:.0f} minutes.\n"
    return "\n".join([head, "| mutation | the first test to detect it |", "|---|---|", *rows, ""])


def _try(mutation: Mutation, file: str = "") -> Outcome:
    """Plant a mutation and run the tests, first those of `file` if it is given."""
    with tempfile.TemporaryDirectory(prefix="grappe-mutation-") as folder:
        copy = pathlib.Path(folder) / "tree"
        shutil.copytree(environment.ROOT, copy, ignore=SKIPPED)
        path = copy / mutation.file
        path.write_text(path.read_text().replace(mutation.old, mutation.new))
        seen = (file and (copy / file).exists() and _failed(copy, file)) or _failed(copy)
    return Outcome(mutation.name, seen.removeprefix("tests/"))


def _failed(tree: pathlib.Path, *files: str) -> str:
    """Return the first test that fails in a tree; empty if none does."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *TESTS, *files], cwd=tree, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        timeout=SECONDS, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    if done.returncode in (PASSED, NOTHING_RAN):
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" ", 1)[1].partition(" - ")[0] if failed else "it does not load"
