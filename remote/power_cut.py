"""Repair what a power cut leaves of LXD's objects. Runs on the host: standard library alone.

LXD's database reaches the disk before its files do. Three leftovers block LXD:

- an empty pid note of a bridge's dnsmasq: LXD neither starts, changes nor removes the bridge;
- a folder of a container or volume that is no btrfs subvolume: LXD does not remove its content;
- a bridge in state pending: LXD starts it, and forgets it without removing it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
from typing import Any, Dict, List

# LXD's error messages after a power cut.
NO_PROCESS = "process not initialized"
NO_SUBVOLUME = "Could not get subvolume flags"
# The inode of every btrfs subvolume's root.
_SUBVOLUME = 256
_FOLDERS = r'"(/[^"\s]+/storage-pools/[^"\s/]+/(?:containers|containers-snapshots|custom)/[^"\s]+)"'


def is_told(messages: str) -> bool:
    """Return whether LXD's refusal may come from a power cut."""
    return NO_PROCESS in messages or NO_SUBVOLUME in messages


def main(request: Dict[str, Any]) -> bool:
    """Remove what blocks a change in LXD; return whether anything was removed.

    Args:
        request: `sockets`, the paths of LXD's socket; `path`, the object to change, below
            `/1.0/`; `removes`, whether the change is a removal; `said`, LXD's refusal; empty where
            the change succeeded.

    """
    kind, _, name = request["path"].partition("/")
    if not request["said"]:
        return kind == "networks" and request["removes"] and _remove_bridge(name)
    homes = [pathlib.Path(socket).parent for socket in request["sockets"]]
    if NO_PROCESS in request["said"] and kind == "networks":
        return any([_forget_process(home / "networks" / name / "dnsmasq.pid") for home in homes])
    if NO_SUBVOLUME in request["said"] and request["removes"]:
        named = set(re.findall(_FOLDERS, request["said"]))
        return any([_remove_folder(pathlib.Path(path), homes) for path in sorted(named)])
    return False


def _forget_process(note: pathlib.Path) -> bool:
    if not note.exists() or note.stat().st_size:
        return False
    note.unlink()
    return True


def _remove_folder(folder: pathlib.Path, homes: List[pathlib.Path]) -> bool:
    """Remove a folder of LXD's that is no subvolume; LXD itself removes subvolumes."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    inside = any(home / "storage-pools" in folder.parents for home in homes)
    plain = stat.S_ISDIR(found.st_mode) and found.st_ino != _SUBVOLUME
    if not inside or not plain or ".." in folder.parts:
        return False
    shutil.rmtree(str(folder))
    return True


def _remove_bridge(name: str) -> bool:
    """Remove a bridge without ports that LXD has forgotten, and its dnsmasq."""
    device = pathlib.Path("/sys/class/net") / name
    if not (device / "bridge").is_dir() or any((device / "brif").iterdir()):
        return False
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"dnsmasq") and b"--interface=" + name.encode() in words:
                os.kill(int(process.name), signal.SIGTERM)
    subprocess.run(["ip", "link", "delete", name], timeout=10, check=False)
    return True
