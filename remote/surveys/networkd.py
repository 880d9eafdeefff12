"""Survey whether systemd-networkd takes over labs' bridges or links. Runs on the host, read only.

When networkd configures an interface, it removes the addresses and the bridge that LXD has set:
`[Match]`, KeepConfiguration and KeepMaster in systemd.network(5).
"""

from __future__ import annotations

import fnmatch
import os
from typing import Dict, Iterator, List, Optional, Tuple

from remote.surveys import programs
from remote.system import read_text

# The first of a name counts, then the first file by name that matches.
FOLDERS = ("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network",
           "/usr/lib/systemd/network", "/lib/systemd/network")  # fmt: skip
# Conditions on the machine, not on the interface; they count as met.
_MACHINE = {"Host", "Virtualization", "KernelCommandLine", "KernelVersion", "Architecture",
            "Credential", "Firmware"}  # fmt: skip
# Any lab's bridge, and the host's end of any server's link: what a condition on each meets.
_BRIDGE = {"Name": "gr-1", "Type": "bridge", "Kind": "bridge", "Driver": "bridge"}
_LINK = {"Name": "veth0123abcd", "Type": "ether", "Kind": "veth", "Driver": "veth"}
# By what an interface keeps what LXD has set on it: the settings of [Network], and their values.
_KEEP = (
    (_BRIDGE, "KeepConfiguration", ("yes", "static")),
    (_LINK, "KeepMaster", ("yes", "true", "1", "on")),
)

Lines = List[Tuple[str, str, str]]


def main() -> str:
    """Return the file by which a running networkd takes over a bridge or a link; else ""."""
    files = list(_files())
    for own, key, values in _KEEP:
        # The first file that matches counts.
        path, lines = next((file for file in files if _matches(file[1], own)), ("", []))
        if path and not _leaves(lines, key, values):
            active = programs.run(["systemctl", "is-active", "systemd-networkd"])[0] == 0
            return path if active else ""
    return ""


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


def _matches(lines: Lines, own: Dict[str, str]) -> bool:
    """Whether a file is for an interface; one without a condition is for none."""
    wanted: Dict[str, List[str]] = {}
    for section, key, value in lines:
        if section == "Match" and key not in _MACHINE:
            # An empty value takes back what was listed before.
            wanted[key] = [*wanted.get(key, []), *value.split()] if value else []
    wanted = {key: words for key, words in wanted.items() if words}
    return bool(wanted) and all(_holds(own.get(key), words) for key, words in wanted.items())


def _holds(own: Optional[str], words: List[str]) -> bool:
    inverted = words[0].startswith("!")
    globs = [words[0].lstrip("!"), *words[1:]]
    if own is None:
        # Addresses, paths, wireless networks: nothing of LXD's has them.
        return inverted
    return any(fnmatch.fnmatchcase(own, glob) for glob in globs) != inverted


def _leaves(lines: Lines, key: str, values: Tuple[str, ...]) -> bool:
    """Whether a file lets an interface keep what LXD has set on it."""
    given = {(section, name): value.lower() for section, name, value in lines}
    unmanaged = given.get(("Link", "Unmanaged"), "") in ("yes", "true", "1", "on")
    return unmanaged or given.get(("Network", key), "") in values
