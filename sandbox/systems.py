"""The systems of a sandbox's machines."""

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
    """A machine's system; one without a daemon lacks `program` and the daemon's other fields.

    Attributes:
        name: Its name for `./lab sandbox up --os`.
        title: Its name for people.
        suite: Debian's suite.
        packages: The packages that mmdebstrap installs.
        program: The client's command.
        unit: The daemon's systemd unit.
        folder: The daemon's data folder.
        wait: The command that waits until the daemon answers.
        init: The command that takes a preseed on standard input.
        suffix: The suffix of names of sandboxes with such a lab host.
        offline: Packages in a folder for its own apt, since a sandbox has no internet.
    """

    name: str
    title: str
    suite: str
    packages: tuple[str, ...]
    program: str = ""
    unit: str = ""
    folder: str = ""
    wait: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    suffix: str = ""
    offline: tuple[str, ...] = ()


LXD = System(
    "debian12-lxd", "Debian 12 with LXD", "bookworm", (*_COMMON, "lxd", "lxd-client"), "lxc", "lxd",
    "/var/lib/lxd", ("lxd", "waitready", "--timeout=60"), ("lxd", "init", "--preseed"),
)  # fmt: skip
INCUS = System(
    "debian13-incus", "Debian 13 with Incus", "trixie", (*_COMMON, "incus-base", "incus-client"),
    "incus", "incus", "/var/lib/incus", ("incus", "admin", "waitready", "--timeout=60"),
    ("incus", "admin", "init", "--preseed"), suffix="-incus",
)  # fmt: skip
_BARE = ("systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "iproute2", "netbase",
         "python3", "iputils-ping", "ca-certificates")  # fmt: skip
# As after Debian's installer, without anything of a lab host.
BARE = System(
    "debian12-bare", "a bare Debian 12", "bookworm", _BARE, suffix="-bare",
    offline=("lxd", "lxd-client", "ufw", "haproxy", "btrfs-progs", "iptables", "nftables",
             "fdisk", "dnsmasq-base", "uidmap", "attr", "squashfs-tools", "xz-utils"),
)  # fmt: skip
RELAY = System("debian12-relay", "the relay", "bookworm", _BARE)
# The systems of lab hosts.
ALL = {system.name: system for system in (LXD, INCUS, BARE)}
