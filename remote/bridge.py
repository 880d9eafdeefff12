"""What a student's bridge has lost while it runs. Runs on the host: standard library alone."""

from __future__ import annotations

import fcntl
import functools
import ipaddress
import os
import socket
import struct
from typing import Any, Dict, List, Optional, Tuple

from remote import daemons
from remote.surveys import lxd, programs
from remote.system import read_text

# The listings that may show LXD's masquerade: it uses nftables or iptables, as found at its start.
LISTINGS = (
    *(["nft", "list", "table", "inet", name] for name in daemons.TABLES),
    ["iptables-save", "-t", "nat"],
    # The slowest, where none of the usual ones has it.
    ["nft", "list", "ruleset"],
)
_CLASS = "/sys/class/net"
# SIOCGIFFLAGS and IFF_UP of linux/sockios.h and linux/if.h.
_GET_FLAGS, _UP = 0x8913, 1
# Seconds: the host dials itself.
DNS_PORT, DNS_SECONDS = 53, 1.0


def main(request: Dict[str, Any]) -> Dict[str, str]:
    """Return by bridge's name what it lost, in words; empty for nothing, or if that is unknown.

    Args:
        request: `addresses`, each bridge's own by its name, as in `10.64.1.1/24`, and `sockets`,
            the paths of LXD's; or `name`, a bridge's, and `ports`, the host's ends of its servers'
            links: attach those that are on no bridge to it.
    """
    if "ports" in request:
        _attach(request["name"], request["ports"])
    sockets = tuple(request.get("sockets", ()))
    return {
        name: _lost(name, address, sockets)
        for name, address in request.get("addresses", {}).items()
    }


def link(name: str, address: str, sockets: Tuple[str, ...]) -> str:
    """Return what is wrong on a bridge, in words; nothing if it serves all its servers."""
    if not os.path.isdir(os.path.join(_CLASS, name)):
        return "its link is gone: its servers have no network"
    if _is_down(name):
        return "its link is down: its servers have no network"
    own = _listed(("ip", "-4", "-o", "address", "show", "dev", name))
    if own is not None and "/" in address and not any(address in line.split() for line in own):
        return f"its address {address} is gone from its link: its servers have no network"
    if "/" in address and _refuses(address.partition("/")[0]):
        return "its dnsmasq does not run: its servers get no address, and know no names"
    if unplugged := _unplugged(sockets).get(name):
        return f"the links of {' and '.join(unplugged)} are off it: they have no network"
    return ""


def _refuses(address: str) -> bool:
    """Whether nobody serves DNS there."""
    with socket.socket() as dialled:
        dialled.settimeout(DNS_SECONDS)
        try:
            dialled.connect((address, DNS_PORT))
        except ConnectionRefusedError:
            return True
        except OSError:
            # Somebody's rule may drop it.
            return False
    return False


@functools.lru_cache(maxsize=None)
def _unplugged(sockets: Tuple[str, ...]) -> Dict[str, List[str]]:
    """Return by bridge the instances whose links are on no bridge."""
    loose = {
        name for name in os.listdir(_CLASS)
        if name.startswith("veth") and not os.path.exists(os.path.join(_CLASS, name, "master"))
    }  # fmt: skip
    found: Dict[str, List[str]] = {}
    path = "instances?recursion=1&all-projects=true"
    for item in (lxd.try_query(sockets, path) or ()) if loose else ():
        for device, settings in item["expanded_devices"].items():
            if item["config"].get(f"volatile.{device}.host_name") in loose:
                found.setdefault(settings.get("network", ""), []).append(item["name"])
    return found


def _lost(name: str, address: str, sockets: Tuple[str, ...]) -> str:
    if problem := link(name, address, sockets):
        return problem
    if _forwarding_is_off():
        return "the kernel forwards nothing: its servers reach nobody, and nobody reaches them"
    if not _masquerades(str(ipaddress.IPv4Interface(address).network)):
        return "LXD's masquerade of it is not loaded: its servers do not reach the internet"
    return ""


def _attach(name: str, ports: List[str]) -> None:
    """Attach links that lost their bridge."""
    for port in ports:
        device = os.path.join(_CLASS, port)
        if os.path.isdir(device) and not os.path.exists(os.path.join(device, "master")):
            programs.run(["ip", "link", "set", port, "master", name])


def _forwarding_is_off() -> bool:
    """Whether IPv4 forwarding is off, which LXD switches on for its bridges."""
    return read_text("/proc/sys/net/ipv4/ip_forward").strip() == "0"


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
    status, out, _err = programs.run(list(argv))
    return out.splitlines() if status == 0 else None
