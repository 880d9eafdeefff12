"""Keep labs' bridges out of IPv6, which labs do not use. Runs on the host: standard library alone.

LXD switches IPv6 off on a bridge without an address of it; a `sysctl --system` may switch it on
again, and every server reaches the host and its neighbours by link-local addresses.
"""

from __future__ import annotations

import os
from typing import List

from remote.iptables import BRIDGES
from remote.system import System, read_text

_SWITCHES = "/proc/sys/net/ipv6/conf"
_CHAINS = ("INPUT", "FORWARD")
_RULE = f"-i {BRIDGES} -j DROP"
# For UFW's script. A kernel without IPv6 has neither table; there is nothing to shut then.
SHUT = (
    f"for chain in {' '.join(_CHAINS)}; do ip6tables -w -C $chain {_RULE} || "
    f"ip6tables -w -I $chain {_RULE} || true; done 2>/dev/null"
)
# Prints the rules that may shut it off.
LIST = ["ip6tables-save", "-t", "filter"]


def shut(system: System) -> None:
    """Load our rules, which drop the IPv6 packets of labs' bridges."""
    for chain in _CHAINS:
        if system.run(["ip6tables", "-w", "-C", chain, *_RULE.split()]).status != 0:
            system.run(["ip6tables", "-w", "-I", chain, *_RULE.split()])


def reopen(system: System) -> None:
    """Remove our rules."""
    for chain in _CHAINS:
        system.run(["ip6tables", "-w", "-D", chain, *_RULE.split()])


def is_open(system: System) -> List[str]:
    """Return the labs' bridges that nothing keeps from the host by IPv6."""
    on = switched_on(system.root)
    return [] if not on or is_shut(system.run(LIST).out) else on


def switched_on(root: str = "") -> List[str]:
    """Return the labs' bridges on which the kernel speaks IPv6."""
    try:
        names = sorted(os.listdir(root + _SWITCHES))
    except OSError:
        return []
    return [
        name
        for name in names
        if name.startswith(BRIDGES[:-1]) and _is_on(f"{root}{_SWITCHES}/{name}")
    ]


def is_shut(listing: str) -> bool:
    """Whether our rules are among those that `LIST` printed."""
    return all(f"-A {chain} {_RULE}" in listing.splitlines() for chain in _CHAINS)


def _is_on(folder: str) -> bool:
    return read_text(f"{folder}/disable_ipv6").strip() == "0"
