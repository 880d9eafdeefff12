"""End a container's start that hangs. Runs on the host: standard library alone.

With a limit that its first process cannot live with, LXC's monitor waits for ever: LXD then neither
stops nor removes the container, and `lxc list` hangs for everybody.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from typing import Any, Dict, List

# The title of LXC's monitor is `[lxc monitor] FOLDER NAME`; a starter is `lxd forkstart NAME ...`.
_MONITOR = b"[lxc monitor]"


def main(request: Dict[str, Any]) -> bool:
    """End the processes that start a container; return whether there was a starter.

    Args:
        request: `name`, the container's name as LXC has it: `PROJECT_NAME`.
    """
    name = request["name"].encode()
    monitors: List[int] = []
    starters: List[int] = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if argv[1:3] == [b"forkstart", name]:
                starters.append(int(process.name))
            elif argv[0].startswith(_MONITOR) and argv[0].split()[-1] == name:
                monitors.append(int(process.name))
    if not starters:
        # A monitor alone is that of a container that runs.
        return False
    for number in [*monitors, *starters]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return True
