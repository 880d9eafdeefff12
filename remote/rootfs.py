"""Whether running servers have a file. Runs on the host, read only: standard library alone.

LXD reads a file by a process of its own for each server, which takes it 0.07 s of a processor to
start. A path is followed as it is: only whether it is there may come of that, never its content.
"""

from __future__ import annotations

import os
from typing import Any, Dict

from remote.system import read_text

# Where LXC keeps a container's first process, by its name in LXC: PROJECT_NAME.
FIRST = "/sys/fs/cgroup/lxc.payload.%s/init.scope/cgroup.procs"


def main(request: Dict[str, Any]) -> Dict[str, bool]:
    """Return by name whether a server has the file; none of those that cannot be looked into.

    Args:
        request: `names`, of the containers in LXC, and the `path` in them.

    """
    found = {}
    for name in request["names"]:
        first = read_text(FIRST % name).split()[:1]
        if first and os.path.isdir(f"/proc/{first[0]}/root/etc"):
            found[name] = os.path.lexists(f"/proc/{first[0]}/root{request['path']}")
    return found
