"""Read the stack files of a folder, without the engine."""

from __future__ import annotations

import pathlib
from typing import Any

import yaml

from core import errors
from stacks import settings

# libyaml's faster loader if installed: a folder may hold the stack files of a class.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str) -> Any:
    """Parse a YAML text; raise yaml.YAMLError for any other text."""
    return yaml.load(text, LOADER)  # noqa: S506 - both are safe ones


def path_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a stack's file."""
    return folder / f"Pulumi.{name}.yaml"


def names(folder: pathlib.Path) -> list[str]:
    """Return the stacks that have a file."""
    found = (path.name for path in folder.glob("Pulumi.*.yaml"))
    return sorted(name.removeprefix("Pulumi.").removesuffix(".yaml") for name in found)


def read(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Return the settings of a stack file, by key without the namespace.

    Raises:
        errors.BadInputError: The file is no YAML, or no stack file.

    """
    path = path_of(folder, name)
    try:
        content = load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} cannot be read",
            seen=str(error),
            do="mend that line, or bring the file back from version control",
        ) from error
    config = (content.get("config") or {}) if isinstance(content, dict) else content or {}
    if not isinstance(config, dict):
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} is no stack file",
            seen="its settings are no group below `config:`",
        )
    start = f"{settings.NAMESPACE}:"
    return {
        str(key).removeprefix(start): value
        for key, value in config.items()
        if str(key).startswith(start)
    }


def others(folder: pathlib.Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the settings of the other stack files, without unreadable ones."""
    found = {}
    for other in names(folder):
        if other != name:
            try:
                found[other] = read(folder, other)
            except (errors.BadInputError, OSError):
                continue
    return found
