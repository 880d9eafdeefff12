"""What a student's bridge has lost while it runs. Runs on the host: standard library alone."""

from __future__ import annotations

import fcntl
import functools
import ipaddress
import os
import socket
import struct
import subprocess
from typing import Any, Dict, List, Optional, Tuple

# LXD writes its masquerade by whichever of the two it found when it started.
LISTINGS = (
    ["nft", "list", "table", "inet", "lxd"],
    ["nft", "list", "table", "inet", "incus"],
    ["iptables-save", "-t", "nat"],
    # The slowest, where none of the usual ones has it.
    ["nft", "list", "ruleset"],
)
_CLASS = "/sys/class/net"
_GET_FLAGS, _UP = 0x8913, 1


def main(request: Dict[str, Any]) -> Dict[str, str]:
    """Return by bridge what is lost, in words; nothing where all is there, or cannot be known.

    Args:
        request: `addresses`, each bridge's own by its name, as in `10.64.1.1/24`; or `name`, a
            bridge's, and `ports`, the host's ends of its servers' links: attach those that are on
            no bridge to it.

    """
    if "ports" in request:
        _attach(request["name"], request["ports"])
    return {name: _lost(name, address) for name, address in request.get("addresses", {}).items()}


def link(name: str, address: str) -> str:
    """Return what is wrong with a bridge's link, in words; nothing if it is up with its address."""
    if not os.path.isdir(os.path.join(_CLASS, name)):
        return "its link is gone: its servers have no network"
    if _is_down(name):
        return "its link is down: its servers have no network"
    lines = _listed(("ip", "-4", "-o", "address", "show"))
    own = [line.split()[3] for line in lines or () if line.split()[1] == name]
    if lines and "/" in address and address not in own:
        return f"its address {address} is gone from its link: its servers have no network"
    return ""


def _lost(name: str, address: str) -> str:
    if problem := link(name, address):
        return problem
    if _forwards_nothing():
        return "the kernel forwards nothing: its servers reach nobody, and nobody reaches them"
    if not _masquerades(str(ipaddress.IPv4Interface(address).network)):
        return "LXD's masquerade of it is not loaded: its servers do not reach the internet"
    return ""


def _attach(name: str, ports: List[str]) -> None:
    """Attach links that lost their bridge."""
    for port in ports:
        device = os.path.join(_CLASS, port)
        if os.path.isdir(device) and not os.path.exists(os.path.join(device, "master")):
            subprocess.run(["ip", "link", "set", port, "master", name], timeout=10, check=False)


def _forwards_nothing() -> bool:
    """Whether somebody has switched off what LXD switched on for its bridges."""
    try:
        with open("/proc/sys/net/ipv4/ip_forward") as stream:
            return stream.read().strip() == "0"
    except OSError:
        return False


def _is_down(name: str) -> bool:
    """Whether an interface is there, and down."""
    asked = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _GET_FLAGS, asked)
        except OSError:
            return False
    return not struct.unpack_from("H", answer, 16)[0] & _UP


def _masquerades(subnet: str) -> bool:
    known = False
    for argv in LISTINGS:
        lines = _listed(tuple(argv))
        known = known or lines is not None
        if any(subnet in line and "masquerade" in line.lower() for line in lines or ()):
            return True
    return not known


@functools.lru_cache(maxsize=None)
def _listed(argv: Tuple[str, ...]) -> Optional[List[str]]:
    """Return the lines of a listing, read once for all bridges; None if it fails."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else None
