"""Survey a bare server. Runs there, read only; standard library alone."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any, Dict, List

from remote import daemons, identity
from remote.surveys import facts, lxd, programs
from remote.system import meminfo

Json = Dict[str, Any]
PROGRAMS = ("systemctl", "apt-get", "lsblk", "wipefs", "findmnt")
# The types that wipefs gives to partition tables.
_TABLES = ("gpt", "PMBR", "dos")


def main(request: Json) -> facts.ServerFacts:
    """Survey the server; `request` is not used."""
    del request
    return {
        "missing": [name for name in PROGRAMS if not shutil.which(name, path=programs.PATH)],
        "systemd": os.path.isdir("/run/systemd/system"),
        "netfilter": os.path.isdir("/proc/sys/net/netfilter"),
        "root": _root(),
        "disks": _disks(),
        "memory": meminfo()["MemTotal"],
        "processors": os.cpu_count() or 1,
        "addresses": _addresses(),
        "daemons": {
            name: _daemon(path) for name, path in daemons.SOCKETS.items() if os.path.exists(path)
        },
    }


def _root() -> facts.Root:
    """Return the file system of /: its type, used bytes, and devices in order."""
    kind = programs.run(["findmnt", "-n", "-o", "FSTYPE", "/"])[1].strip()
    found = os.statvfs("/")
    devices = [programs.run(["findmnt", "-n", "-o", "SOURCE", "/"])[1].strip().split("[")[0]]
    if kind == "btrfs":
        shown = programs.run(["btrfs", "filesystem", "show", "/"])[1]
        devices += [
            line.split(" path ")[1].strip() for line in shown.splitlines() if " path " in line
        ]
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    shown = programs.run(["btrfs", "filesystem", "df", "/"])[1] if kind == "btrfs" else ""
    profiles = set(re.findall(r"^(?:Data|Metadata|System), (\w+):", shown, re.MULTILINE))
    return {"type": kind, "used": used, "devices": list(dict.fromkeys(devices)),
            "mirrored": profiles == {"RAID1"}}  # fmt: skip


def _disks() -> List[facts.Disk]:
    """Return every disk and its parts: path, type, size, file system, mount point."""
    argv = ["lsblk", "-J", "-b", "-p", "-o", "PATH,TYPE,SIZE,FSTYPE,MOUNTPOINT"]
    status, out, _err = programs.run(argv)
    if status != 0:
        return []
    return [
        {**_plain(disk), "parts": [_plain(part) for part in disk.get("children", [])]}
        for disk in json.loads(out)["blockdevices"]
    ]


def _plain(entry: Json) -> facts.Part:
    return {
        "path": entry["path"],
        "type": entry["type"],
        "size": int(entry["size"]),
        "holds": _held(entry["path"]) or entry.get("fstype") or "",
        "mounted": entry.get("mountpoint") or "",
    }


def _held(path: str) -> str:
    """Read a disk's content from the disk itself: lsblk uses udev's cache, which may be old."""
    status, out, _err = programs.run(["wipefs", "--no-act", "--noheadings", "-O", "TYPE", path])
    found = out.split() if status == 0 else []
    return next((kind for kind in found if kind not in _TABLES), "partitions" if found else "")


def _addresses() -> List[str]:
    lines = programs.run(["ip", "-4", "-o", "address", "show", "scope", "global"])[1].splitlines()
    return [line.split()[3].split("/")[0] for line in lines if len(line.split()) > 3]


def _daemon(path: str) -> facts.Daemon:
    """Return a daemon's counts; `path` is its socket."""
    try:
        items = lxd.query(path, "instances?recursion=1&all-projects=true")
    except (OSError, ValueError, KeyError) as error:
        return {"error": str(error)}
    owners = [item["config"].get(identity.OWNER, "") for item in items]
    return {"instances": len(items), "strangers": owners.count("")}
