"""What a host has left for more servers: memory, inotify instances. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

import re
from typing import Any, Dict

INOTIFY = "/proc/sys/fs/inotify/max_user_instances"
_TAKES_MEMORY = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)


def main(_request: Dict[str, Any]) -> Dict[str, int]:
    """Return `memory` that is available, in bytes, and `inotify`, the instances of a user."""
    with open("/proc/meminfo", encoding="ascii", errors="replace") as stream:
        found = _TAKES_MEMORY.search(stream.read())
    with open(INOTIFY, encoding="ascii") as stream:
        inotify = int(stream.read())
    return {"memory": int(found.group(1)) * 1024 if found else 0, "inotify": inotify}
