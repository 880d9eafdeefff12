"""The networks that a host keeps for its own machines: LXD's, Docker's, libvirt's bridges.

Runs on the host: standard library alone. Our chain that lets labs out returns packets for them to
UFW's rules, which keep everybody out by default.
"""

from __future__ import annotations

import os
import re
from typing import List

from remote.iptables import BRIDGES, LET_THROUGH
from remote.system import System

# The bridges of Docker's own networks, which come and go with the day's work.
DOCKER = "br-+"
_DOCKER_BRIDGE = re.compile(r"br-[0-9a-f]{12}")
_NET = "/sys/class/net"
_WAY_OUT = f"-A {LET_THROUGH} -i {BRIDGES} -o "


def bridges(system: System) -> List[str]:
    """Return the bridges of others that have neither a physical port nor a default route.

    `br-+` stands for all of Docker's networks, unless a public interface has such a name.
    """
    folder = system.root + _NET
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    private = [name for name in names if _is_private(folder, name)]
    if not private:
        return []
    out = system.run(["ip", "-4", "route", "show", "default"]).out.split()
    uplinks = {out[index + 1] for index, word in enumerate(out[:-1]) if word == "dev"}
    public = [name for name in names if name not in private or name in uplinks]
    docker = not any(name.startswith(DOCKER[:-1]) for name in public)
    return sorted({
        DOCKER if docker and _DOCKER_BRIDGE.fullmatch(name) else name
        for name in private if name not in uplinks
    })  # fmt: skip


def rules(system: System) -> List[str]:
    """Return the rules that leave packets to these bridges to UFW's rules."""
    return [f"{_WAY_OUT}{name} -j RETURN" for name in bridges(system)]


def is_rule(rule: str) -> bool:
    """Whether a rule is one of those that `rules` returns."""
    return rule.startswith(_WAY_OUT) and rule.endswith(" -j RETURN")


def _is_private(folder: str, name: str) -> bool:
    """Whether an interface is a bridge of others, without a port that leads out of the machine."""
    if name.startswith(BRIDGES[:-1]) or not os.path.isdir(f"{folder}/{name}/bridge"):
        return False
    try:
        ports = os.listdir(f"{folder}/{name}/brif")
    except OSError:
        return False
    return not any(_leads_out(f"{folder}/{port}") for port in ports)


def _leads_out(port: str) -> bool:
    """Whether a port is a device of the machine, or is on one as a VLAN or a bond is."""
    try:
        names = os.listdir(port)
    except OSError:
        return False
    return any(name == "device" or name.startswith("lower_") for name in names)
