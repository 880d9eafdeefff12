"""The file of LXD's that a power cut leaves empty. Runs on the host: standard library alone.

LXD notes the process of a bridge's dnsmasq in a file that it does not bring to the disk. Empty, it
keeps LXD from starting, changing and removing the bridge, for good: "process not initialized".
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any, Callable, Dict

if TYPE_CHECKING:
    from providers.hosts import gateway

# What LXD says then.
WORDS = "process not initialized"


def main(request: Dict[str, Any]) -> bool:
    """Remove the file where it is empty; return whether it was.

    Args:
        request: `name`, the bridge's, and `sockets`, where LXD's may be.

    """
    for socket in request["sockets"]:
        path = pathlib.Path(socket).parent / "networks" / request["name"] / "dnsmasq.pid"
        if path.exists() and not path.stat().st_size:
            path.unlink()
            return True
    return False


def of_host(host: gateway.Host) -> Callable[[str], bool]:
    """Return a function that mends a bridge of a host."""
    from providers.lxd import daemon  # noqa: PLC0415

    return lambda name: bool(host.call(__name__, {"name": name, "sockets": list(daemon.SOCKETS)}))
