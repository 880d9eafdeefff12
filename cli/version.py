"""`./lab --version`: print the versions for a bug report."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
# A tree on a slow share has many files to compare.
GIT_SECONDS = 20


class Version(argparse.Action):
    """Prints the version and exits; reads nothing before."""

    def __call__(self, parser: argparse.ArgumentParser, *_options: Any, **_more: Any) -> None:
        """Print, and exit with 0."""
        sys.stdout.write(describe() + "\n")
        parser.exit()


def describe() -> str:
    """Return Grappe's version and commit, and its platform's versions, in one line."""
    # Every command starts by way of this module, and needs none of these.
    import importlib.metadata  # noqa: PLC0415
    import platform  # noqa: PLC0415
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return (
        f"grappe {project['version']} ({_commit()}), Python {platform.python_version()}, "
        f"pulumi {importlib.metadata.version('pulumi')}, {platform.system()} {platform.machine()}"
    )


def _commit() -> str:
    from core import errors  # noqa: PLC0415
    from hosts import command  # noqa: PLC0415

    argv = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return command.execute(argv, timeout=GIT_SECONDS).stdout.strip() or "no-git"
    except errors.CommandError:
        return "no-git"
