"""Put a student's servers to sleep, and wake them, by the stack file."""

from __future__ import annotations

import io
import pathlib
from typing import Any

from ruamel.yaml import YAML

from stacks import settings

KEY = f"{settings.NAMESPACE}:servers"
STOPPED = "stopped"


def put(path: pathlib.Path, *, asleep: bool) -> bool:
    """Set a stack file's servers, but ephemeral ones, to stopped or running; its comments stay.

    Args:
        path: A readable stack file.
        asleep: Whether to stop its servers.

    Returns:
        Whether the file changed.
    """
    yaml = YAML()
    yaml.width, yaml.allow_unicode = 1000, True
    content = yaml.load(path.read_text())
    config = content["config"]
    default = settings.written(settings.Settings().servers)
    servers: list[Any] = config.get(KEY) or [dict(each) for each in default]
    changed = False
    for server in servers:
        # An ephemeral server would be deleted when it stops.
        if asleep and server.get("state") != STOPPED and not server.get("ephemeral"):
            server["state"], changed = STOPPED, True
        elif not asleep and server.get("state") == STOPPED:
            del server["state"]
            changed = True
    if not changed:
        return False
    if [dict(each) for each in servers] == default:
        del config[KEY]
    else:
        config[KEY] = servers
    text = io.StringIO()
    yaml.dump(content, text)
    staged = path.with_suffix(".new")
    staged.write_text(text.getvalue())
    staged.replace(path)
    return True


def ephemeral(path: pathlib.Path) -> list[str]:
    """Return the names of a stack file's ephemeral servers, which a stop would delete."""
    servers = YAML(typ="safe").load(path.read_text())["config"].get(KEY) or []
    return [str(each["name"]) for each in servers if each.get("ephemeral")]
