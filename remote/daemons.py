"""The daemons that manage containers on a lab host, and their programs. Standard library alone."""

from __future__ import annotations

# The sockets of Debian's LXD, of its snap and of Incus.
SOCKETS = {
    "lxd": "/var/lib/lxd/unix.socket",
    "lxd-snap": "/var/snap/lxd/common/lxd/unix.socket",
    "incus": "/var/lib/incus/unix.socket",
}
# The tables of nft that LXD and Incus keep.
TABLES = ("lxd", "incus")
# The names of the process that serves a proxy device.
PROXIES = ("lxd", "incusd")


def program(socket: str) -> str:
    """Return the command of the daemon with this socket: `lxc` or `incus`."""
    return "incus" if "incus" in socket else "lxc"
