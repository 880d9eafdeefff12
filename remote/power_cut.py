"""Repair what a power cut or a killed LXD leaves. Runs on the host: standard library alone.

LXD's database reaches the disk before its files do, and a bridge's dnsmasq outlives LXD. Four
leftovers block LXD, or stay for good:

- an empty pid file of a bridge's dnsmasq: LXD neither starts, changes nor removes the bridge;
- a dnsmasq whose pid LXD does not know: it keeps the bridge's address from the next one;
- a folder of a container or volume that is no btrfs subvolume: LXD does not remove its content;
- a bridge in state pending: LXD starts it, and at its removal leaves link, rules and folder.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import stat
import time
from typing import Any, Dict, List

from remote import daemons
from remote.surveys import programs

# LXD's error messages after a power cut.
NO_PROCESS = "process not initialized"
NO_SUBVOLUME = "Could not get subvolume flags"
ADDRESS_TAKEN = "failed to create listening socket"
# Seconds that a dnsmasq may take to end after SIGTERM.
END_SECONDS = 3
# The inode of every btrfs subvolume's root.
_SUBVOLUME = 256
_FOLDERS = r'"(/[^"\s]+/storage-pools/[^"\s/]+/(?:containers|containers-snapshots|custom)/[^"\s]+)"'


def is_symptom(messages: str) -> bool:
    """Return whether LXD's refusal may come from a power cut, or from an LXD that was killed."""
    return any(words in messages for words in (NO_PROCESS, NO_SUBVOLUME, ADDRESS_TAKEN))


def main(request: Dict[str, Any]) -> bool:
    """Remove what blocks a change in LXD; return whether anything was removed.

    Args:
        request: `sockets`, the paths of LXD's socket; `path`, the object to change, below
            `/1.0/`; `removes`, whether the change is a removal; `said`, LXD's refusal; empty where
            the change succeeded.
    """
    kind, _, name = request["path"].partition("/")
    homes = [pathlib.Path(socket).parent for socket in request["sockets"]]
    if not request["said"]:
        return kind == "networks" and request["removes"] and _remove_bridge(name, homes)
    if kind == "networks":
        notes = [home / "networks" / name / "dnsmasq.pid" for home in homes]
        found = [_forget_process(note) for note in notes if NO_PROCESS in request["said"]]
        return any([*found, ADDRESS_TAKEN in request["said"] and _end_dnsmasq(name)])
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


def _remove_bridge(name: str, homes: List[pathlib.Path]) -> bool:
    """Remove what is left of a bridge that LXD has removed: its dnsmasq, link, rules and folder."""
    device = pathlib.Path("/sys/class/net") / name
    bridge = (device / "bridge").is_dir()
    if bridge and any((device / "brif").iterdir()):
        # Somebody has taken the name.
        return False
    found = _end_dnsmasq(name)
    if bridge:
        programs.run(["ip", "link", "delete", name])
    folders = [home / "networks" / name for home in homes]
    left = [folder for folder in folders if folder.is_dir()]
    if not (found or bridge or left):
        return False
    _remove_rules(name)
    for folder in left:
        shutil.rmtree(str(folder))
    return True


def _end_dnsmasq(name: str) -> bool:
    """End the processes that serve a bridge, and wait until they have; return whether one did."""
    ended = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() != "dnsmasq":
                continue
            if b"--interface=" + name.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGTERM)
                ended.append(process)
    deadline = time.monotonic() + END_SECONDS
    while any(process.exists() for process in ended) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(ended)


def _remove_rules(name: str) -> None:
    """Remove LXD's own chains of a bridge, which end with its name."""
    table = ""
    for line in programs.run(["nft", "list", "chains", "inet"])[1].splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = words[2]
        elif words[:1] == ["chain"] and table in daemons.TABLES and words[1].endswith("." + name):
            for action in ("flush", "delete"):
                programs.run(["nft", action, "chain", "inet", table, words[1]])
