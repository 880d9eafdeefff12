"""What a published image is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from providers import rules, wire

# What must not be the same in two servers; removed from the copy that is published.
# A folder's entry is a beginning of file names.
GENERALISED = {
    "/etc/ssh": "ssh_host_",
    "/var/lib/dhcp": "",
    "/var/lib/systemd/network": "",
    "/var/lib/dbus": "machine-id",
}
RUNNING = ("refuse", "stop", "restart")
# Left empty, so that systemd makes a new one at the first boot.
EMPTIED = ("/etc/machine-id",)
FIRST_BOOT = """\
# Made by Grappe: a clone makes its own ssh host keys at its first boot.
[Unit]
Description=Make this server's own ssh host keys
Before=ssh.service sshd.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
# Without RSA, whose keys take a second of a processor each.
ExecStart=/usr/bin/ssh-keygen -q -t ecdsa -N "" -f /etc/ssh/ssh_host_ecdsa_key
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=multi-user.target
"""
FIRST_BOOT_PATH = "/etc/systemd/system/grappe-first-boot.service"
FIRST_BOOT_LINK = "/etc/systemd/system/multi-user.target.wants/grappe-first-boot.service"
# Where it is, YunoHost is post-installed: a server of its own, and no image.
INSTALLED = "/etc/yunohost/installed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedSpec(wire.Spec):
    """An image published from a container.

    Attributes:
        name: The alias that points to it.
        project: The LXD project of the container.
        container: The container; it is copied, and not touched.
        container_id: The container's own id; another container is published anew.
        properties: What `lxc image show` says of it; a change of them publishes anew.
        running: What becomes of a container that runs: `refuse`, `stop` it and leave it so, or
            `restart` it when it has been copied.
        adopt: Whether an image that the alias points to already is taken over as it is.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name"})

    project: str
    container: str
    container_id: str = ""
    running: str = "refuse"
    adopt: bool = False
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def copy(self) -> str:
        """The name of the copy that is generalised and published."""
        return f"{self.container[:40]}-published"

    def mistakes(self) -> list[wire.Mistake]:
        """Return what is wrong with the values."""
        found = [("name", self.name, rules.alias(self.name))]
        found.append(("container", self.container, rules.name(self.container)))
        if self.running not in RUNNING:
            found.append(("running", self.running, f"is not one of {', '.join(RUNNING)}."))
        return wire.collect(found)
