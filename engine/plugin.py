"""Having the plugin of a package whose resources are no Python."""

from __future__ import annotations

import importlib.metadata
import json

from engine import engine
from providers.hosts import command


def ensure(package: str) -> bool:
    """Have the plugin of an installed package; return whether it can be had.

    Args:
        package: The package, as `pulumi_command`.

    """
    found = engine.find()
    if found is None:
        return False
    program = str(found.folder / "pulumi") if found.folder else "pulumi"
    name = package.removeprefix("pulumi_")
    listed = command.execute([program, "plugin", "ls", "--json"])
    if listed.ok and any(each["name"] == name for each in json.loads(listed.stdout)):
        return True
    if found.source == "built":
        # Where the installer is out of reach, so are plugins.
        return False
    version = importlib.metadata.version(package)
    return command.execute(
        [program, "plugin", "install", "resource", name, version], timeout=600
    ).ok
