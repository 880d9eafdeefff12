"""How many inotify instances a host has for its servers. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

from typing import Any, Dict

from remote.system import read_text

INOTIFY = "/proc/sys/fs/inotify/max_user_instances"


def main(_request: Dict[str, Any]) -> Dict[str, int]:
    """Return `inotify`, how many instances a user may have."""
    return {"inotify": int(read_text(INOTIFY) or 0)}
