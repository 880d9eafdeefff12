"""Survey whether systemd-networkd takes over labs' bridges. Runs on the host, read only.

What LXD has set on an interface goes when networkd configures it: `[Match]` in systemd.network(5).
"""

from __future__ import annotations

import fnmatch
import os
from typing import Dict, Iterator, List, Tuple

from remote.surveys import programs
from remote.system import read_text

# The first of a name counts, then the first file by name that matches.
FOLDERS = ("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network",
           "/usr/lib/systemd/network", "/lib/systemd/network")  # fmt: skip
# Conditions on the machine, not on the interface: what holds is for networkd to know.
_MACHINE = {"Host", "Virtualization", "KernelCommandLine", "KernelVersion", "Architecture",
            "Credential", "Firmware"}  # fmt: skip
_KINDS = {"Type", "Kind", "Driver"}
# Any lab's bridge.
BRIDGE = "gr-1"

Lines = List[Tuple[str, str, str]]


def main() -> str:
    """Return the path of the file by which a running networkd takes over labs' bridges, or ""."""
    path = next((path for path, lines in _files() if _matches(lines)), "")
    if not path or _leaves(_lines(read_text(path))):
        return ""
    active = programs.run(["systemctl", "is-active", "systemd-networkd"])[0] == 0
    return path if active else ""


def _files() -> Iterator[Tuple[str, Lines]]:
    """Yield the files of networkd with their lines, in its order."""
    paths: Dict[str, str] = {}
    for folder in FOLDERS:
        try:
            names = [name for name in os.listdir(folder) if name.endswith(".network")]
        except OSError:
            continue
        for name in names:
            paths.setdefault(name, os.path.join(folder, name))
    for _name, path in sorted(paths.items()):
        yield path, _lines(read_text(path))


def _lines(text: str) -> Lines:
    """Return section, key and value of each setting."""
    found: Lines = []
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        key, equals, value = stripped.partition("=")
        if stripped.startswith("["):
            section = stripped.strip("[]")
        elif equals and not stripped.startswith(("#", ";")):
            found.append((section, key.strip(), value.strip()))
    return found


def _matches(lines: Lines) -> bool:
    """Whether a file is for a bridge; one without a condition is for nothing."""
    wanted: Dict[str, List[str]] = {}
    for section, key, value in lines:
        if section == "Match" and key not in _MACHINE:
            # An empty value takes back what was listed before.
            wanted[key] = [*wanted.get(key, []), *value.split()] if value else []
    wanted = {key: words for key, words in wanted.items() if words}
    return bool(wanted) and all(_holds(key, words) for key, words in wanted.items())


def _holds(key: str, words: List[str]) -> bool:
    inverted = words[0].startswith("!")
    globs = [words[0].lstrip("!"), *words[1:]]
    if key not in {"Name", *_KINDS}:
        # Addresses, paths, wireless networks: no bridge of LXD's has them.
        return inverted
    own = BRIDGE if key == "Name" else "bridge"
    return any(fnmatch.fnmatchcase(own, glob) for glob in globs) != inverted


def _leaves(lines: Lines) -> bool:
    """Whether a file leaves an interface with the addresses that others gave it."""
    given = {(section, key): value.lower() for section, key, value in lines}
    unmanaged = given.get(("Link", "Unmanaged"), "") in ("yes", "true", "1", "on")
    return unmanaged or given.get(("Network", "KeepConfiguration"), "") in ("yes", "static")
