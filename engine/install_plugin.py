"""Provide the plugin of a package whose resources are not dynamic."""

from __future__ import annotations

import importlib.metadata
import json

from core import errors
from engine import engine
from hosts import command


def ensure(package: str) -> bool:
    """Install the plugin of an installed package if missing; return whether it is available.

    Args:
        package: The package, as `pulumi_command`.
    """
    found = engine.find()
    if found is None:
        return False
    program = str(found.folder / "pulumi") if found.folder else "pulumi"
    name, version = package.removeprefix("pulumi_"), importlib.metadata.version(package)
    listed = command.execute([program, "plugin", "ls", "--json"])
    there = json.loads(listed.stdout) if listed.ok else []
    if any(each["name"] == name and each.get("version") in (version, None, "") for each in there):
        return True
    if found.source == "built":
        # Without the installer, plugins are out of reach too.
        return False
    argv = [program, "plugin", "install", "resource", name, version, "--exact"]
    try:
        return command.execute(argv, timeout=600).ok
    except errors.CommandError:
        return False
