"""What a lab host can be: Debian 12 with LXD, or Debian 13 with Incus."""

from __future__ import annotations

import dataclasses

_COMMON = (
    "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "iproute2", "iptables",
    "nftables", "ufw", "haproxy", "btrfs-progs", "dnsmasq-base", "uidmap", "attr",
    "squashfs-tools", "xz-utils", "zstd", "python3-minimal", "netbase", "iputils-ping",
    "ca-certificates",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class System:
    """A lab host's system.

    Attributes:
        name: As `./lab sandbox up --os` takes it.
        title: As a person reads it.
        suite: Debian's suite.
        packages: What mmdebstrap installs.
        program: The client's command.
        unit: The daemon's systemd unit.
        folder: Where the daemon keeps its things.
        wait: Waits until the daemon answers.
        init: Takes a preseed on standard input.
    """

    name: str
    title: str
    suite: str
    packages: tuple[str, ...]
    program: str
    unit: str
    folder: str
    wait: tuple[str, ...]
    init: tuple[str, ...]


LXD = System(
    "debian12-lxd", "Debian 12 with LXD", "bookworm", (*_COMMON, "lxd", "lxd-client"), "lxc", "lxd",
    "/var/lib/lxd", ("lxd", "waitready", "--timeout=60"), ("lxd", "init", "--preseed"),
)  # fmt: skip
INCUS = System(
    "debian13-incus", "Debian 13 with Incus", "trixie", (*_COMMON, "incus-base", "incus-client"),
    "incus", "incus", "/var/lib/incus", ("incus", "admin", "waitready", "--timeout=60"),
    ("incus", "admin", "init", "--preseed"),
)  # fmt: skip
ALL = {system.name: system for system in (LXD, INCUS)}
