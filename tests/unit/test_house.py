"""The project's rules, checked by tools: lint, format, types, imports, Python 3.8."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    "argv",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        # The lowest Python that a host may have.
        ["vermin", "--quiet", "--no-tips", "--target=3.8-", "remote"],
    ],
    ids=" ".join,
)
def test_tool_passes(argv: list[str]) -> None:
    """Lint, format, types and the direction of imports."""
    program = pathlib.Path(sys.executable).parent / argv[0]
    done = subprocess.run(
        [program, *argv[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "RUFF_NO_CACHE": "true"},
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_program_is_short() -> None:
    """`__main__.py` only wires other modules."""
    assert len((ROOT / "__main__.py").read_text().splitlines()) < 25


def test_providers_use_threads_that_serve_their_run() -> None:
    """A plain pool's threads know neither what a run may delete nor that it was cancelled."""
    texts = {path: path.read_text() for path in (ROOT / "providers").rglob("*.py")}
    plain = [path for path, text in texts.items() if "ThreadPoolExecutor(" in text]
    assert [] == plain


def test_every_mutation_fits_the_tree() -> None:
    """Each old text of tests/mutations.yaml occurs once in its file."""
    from cli import mutate

    assert len(mutate.load(mutate.DATA.read_text(), ROOT)) >= 40
