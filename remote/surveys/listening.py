"""Survey the TCP ports on which a host listens for others. Runs there, read only.

`ss -p` reads the files of all processes, also of those in containers: a class of thirty has a
thousand. Only those in the host's own network can hold its ports.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Iterator, List, Set, Tuple

from remote import haproxy_unit
from remote.surveys import facts, programs
from remote.system import read_text

_SS = ["ss", "-H", "-l", "-t", "-n"]
_INODE = re.compile(r" ino:(\d+)\b")
DNS = 53
BIND = (DNS, "named")
_LISTEN_ON = re.compile(r"^\s*listen-on\s", re.MULTILINE)
_LISTEN_ON_ANY = re.compile(r"^\s*listen-on\s[^}]*\bany\b", re.MULTILINE)
_USER = re.compile(r'\("([^"]+)",pid=(\d+)')


def main(unit: haproxy_unit.Unit) -> List[facts.Listener]:
    """Return the ports, each with its program; a port of several programs comes several times.

    An HAProxy that the unit did not start is named `another haproxy (process PID)`.
    """
    lines = programs.run([*_SS, "-e"])[1].splitlines()
    holders = _holders()
    users = [_held(line, holders) for line in lines]
    if not all(users):
        # Somebody in another network holds one.
        lines = programs.run([*_SS, "-p"])[1].splitlines()
        users = [[(name, int(pid)) for name, pid in _USER.findall(line)] for line in lines]
    found: Set[Tuple[int, str, bool]] = set()
    for line, held in zip(lines, users):
        fields = line.split()
        address, _, port = fields[3].rpartition(":") if len(fields) > 3 else ("", "", "")
        # HAProxy binds its ports on all addresses, loopback too.
        own = address.startswith(("127.", "[::1]")) and port not in ("80", "443")
        everywhere = address in ("0.0.0.0", "*")
        if port.isdigit() and not own:
            found |= {
                (int(port), _program_name(name, pid, unit), everywhere) for name, pid in held
            } or {(int(port), "a program", everywhere)}
    if _takes_each_address(lines, found):
        found = {(port, name, all_ or (port, name) == BIND) for port, name, all_ in found}
    return [
        {"port": port, "program": program, "everywhere": everywhere}
        for port, program, everywhere in sorted(found)
    ]


def _takes_each_address(lines: List[str], found: Set[Tuple[int, str, bool]]) -> bool:
    """Whether BIND listens on each address that the host has or gets, a new bridge's too.

    It listens by address, also where its configuration names them all: that alone shows it.
    """
    if (*BIND, False) not in found:
        return False
    told = programs.run(["named-checkconf", "-p"])[1]
    if _LISTEN_ON.search(told) and not _LISTEN_ON_ANY.search(told):
        return False
    shown = programs.run(["ip", "-4", "-o", "address", "show", "scope", "global"])[1]
    own = {words[3].partition("/")[0] for words in map(str.split, shown.splitlines())}
    listens = {words[3] for words in map(str.split, lines) if len(words) > 3}
    return bool(own) and all("%s:%d" % (address, DNS) in listens for address in own)


def _held(line: str, holders: Dict[str, List[Tuple[str, int]]]) -> List[Tuple[str, int]]:
    match = _INODE.search(line)
    return holders.get(match.group(1), []) if match else []


def _holders() -> Dict[str, List[Tuple[str, int]]]:
    """Return the names and processes that hold each socket, by its inode."""
    found: Dict[str, List[Tuple[str, int]]] = {}
    own = os.readlink("/proc/self/ns/net")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink("/proc/%s/ns/net" % pid) != own:
                continue
            inodes = set(_sockets(pid))
        except OSError:
            # The process has ended meanwhile.
            continue
        for inode in inodes:
            name = read_text("/proc/%s/comm" % pid).strip()
            found.setdefault(inode, []).append((name, int(pid)))
    return found


def _sockets(pid: str) -> Iterator[str]:
    for name in os.listdir("/proc/%s/fd" % pid):
        try:
            link = os.readlink("/proc/%s/fd/%s" % (pid, name))
        except OSError:
            continue
        if link.startswith("socket:["):
            yield link[8:-1]


def _program_name(name: str, pid: int, unit: haproxy_unit.Unit) -> str:
    """Return a program's name; for an HAProxy that is not the unit's, with its process."""
    parent = re.search(r"^PPid:\s+(\d+)", read_text("/proc/%d/status" % pid), re.MULTILINE)
    own = unit.pid and unit.pid in (pid, int(parent.group(1)) if parent else 0)
    return name if name != "haproxy" or own else "another haproxy (process %d)" % pid
