"""Why files that Grappe shares with others cannot be changed. Runs on the host, read only."""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Dict, Iterable, List

# FS_IOC_GETFLAGS and FS_APPEND_FL of linux/fs.h.
_GET_FLAGS, _APPEND_ONLY = 0x80086601, 0x20
# The bytes and files that a change of a lab's parts takes, with room for others'.
_BYTES, _FILES = 2**20, 64


def reasons(paths: Iterable[str]) -> Dict[str, List[str]]:
    """Return (reason, remedy) by path of each file that root cannot change.

    A change is a rename, so the folder counts as the file does. The kernel refuses root after
    `chattr +i` or `+a`, and on a read-only file system. For another login this returns nothing.
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
        elif append := next(filter(_is_append_only, existing), ""):
            fixed[path] = ["may only grow: %s is append-only" % append, "chattr -a %s" % append]
        elif full := next(filter(_is_full, existing), ""):
            fixed[path] = [
                "cannot be written: the file system of %s is full" % full,
                "df -h %s and df -i %s show it; make room" % (full, full),
            ]
    return fixed


def _is_full(path: str) -> bool:
    """Whether the file system of a file or folder has no room, or no files left."""
    left = os.statvfs(path)
    # Root may use what is reserved; some file systems count no files.
    room = left.f_bfree * left.f_frsize
    return room < _BYTES or (left.f_files > 0 and left.f_ffree < _FILES)


def _is_append_only(path: str) -> bool:
    """Whether `chattr +a` forbids even root to replace a file, or files of a folder."""
    flags = bytearray(8)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.ioctl(descriptor, _GET_FLAGS, flags)
    except OSError:
        # A file system without such flags.
        return False
    finally:
        os.close(descriptor)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & _APPEND_ONLY)
