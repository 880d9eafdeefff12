"""Why files that Grappe shares with others cannot be changed. Runs on the host, read only."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List


def reasons(paths: Iterable[str]) -> Dict[str, List[str]]:
    """Return by path why root cannot change it and what to do; nothing for what can be changed.

    A change is a rename, so the folder counts as the file does. The kernel refuses root after
    `chattr +i`, and on a read-only file system. For another login this returns nothing.
    """
    found = {}
    for path in paths:
        folder = os.path.dirname(path)
        places = [place for place in (path, folder) if os.path.exists(place)]
        held = [place for place in places if not os.access(place, os.W_OK)]
        if os.path.islink(path):
            found[path] = ["is a symbolic link to %s" % os.readlink(path), "make it a real file"]
        elif held and os.geteuid() == 0:
            found[path] = [
                "cannot be changed: %s is immutable, or on a read-only file system" % held[0],
                "chattr -i %s, or remount it read-write" % held[0],
            ]
    return found
