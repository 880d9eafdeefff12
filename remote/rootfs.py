"""Whether running servers have a file. Runs on the host, read only: standard library alone.

LXD starts a process to read a file of a server, which takes 0.07 s of a processor. A server's
symbolic links may lead a path to the host's files: this tells whether a file exists, never its
content.
"""

from __future__ import annotations

import os
from typing import Any, Dict

from remote.system import read_text

# Where LXC keeps a container's first process, by its name in LXC: PROJECT_NAME.
FIRST = "/sys/fs/cgroup/lxc.payload.%s/init.scope/cgroup.procs"


def main(request: Dict[str, Any]) -> Dict[str, bool]:
    """Return by name whether a server has the file; without servers whose root cannot be read.

    Args:
        request: `names`, of the containers in LXC, and the `path` in them.
    """
    found = {}
    for name in request["names"]:
        first = read_text(FIRST % name).split()[:1]
        if first and os.path.isdir(f"/proc/{first[0]}/root/etc"):
            found[name] = os.path.lexists(f"/proc/{first[0]}/root{request['path']}")
    return found
