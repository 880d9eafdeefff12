"""Why files that Grappe shares with others cannot be changed. Runs on the host, read only."""

from __future__ import annotations

import os
from typing import Dict, Iterable, List


def reasons(paths: Iterable[str]) -> Dict[str, List[str]]:
    """Return by path why root cannot change it and what to do; nothing for what can be changed.

    A change is a rename, so the folder counts as the file does. The kernel refuses root after
    `chattr +i`, and on a read-only file system. For another login this returns nothing.
    """
    fixed = {}
    for path in paths:
        folder = os.path.dirname(path)
        existing = [each for each in (path, folder) if os.path.exists(each)]
        unwritable = [each for each in existing if not os.access(each, os.W_OK)]
        if os.path.islink(path):
            fixed[path] = ["is a symbolic link to %s" % os.readlink(path), "make it a real file"]
        elif unwritable and os.geteuid() == 0:
            fixed[path] = [
                "cannot be changed: %s is immutable, or on a read-only file system" % unwritable[0],
                "chattr -i %s, or remount it read-write" % unwritable[0],
            ]
    return fixed
