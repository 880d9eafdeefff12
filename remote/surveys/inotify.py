"""The number of inotify instances that a user of a host may have. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

from typing import Any, Dict

from remote.system import read_text

INOTIFY = "/proc/sys/fs/inotify/max_user_instances"


def main(_request: Dict[str, Any]) -> Dict[str, int]:
    """Return `inotify`, the number of instances that a user may have."""
    return {"inotify": int(read_text(INOTIFY) or 0)}
