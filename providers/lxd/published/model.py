"""What a published image is."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar

from core import codec, problems, validators

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
HERE = pathlib.Path(__file__).parent
_UNITS = "/etc/systemd/system"
FIRST_BOOT = f"{_UNITS}/grappe-first-boot.service"
# What a clone needs to become a server of its own: content and mode, by path.
WRITTEN = {
    "/usr/local/sbin/grappe-first-boot": ((HERE / "first-boot.sh").read_text(), "0755"),
    "/usr/local/sbin/grappe-gateway": ((HERE / "gateway.sh").read_text(), "0755"),
    FIRST_BOOT: (
        """\
# Made by Grappe: a clone makes its own keys and certificates at its first boot.
[Unit]
Description=Make this server's own keys and certificates
Before=ssh.service sshd.service nginx.service postfix.service postsrsd.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/grappe-first-boot

[Install]
WantedBy=multi-user.target
""",
        "0644",
    ),
    f"{_UNITS}/fail2ban.service.d/grappe.conf": (
        """\
# Made by Grappe.
[Unit]
Wants=network-online.target
After=network-online.target

[Service]
ExecStartPre=-/usr/local/sbin/grappe-gateway
""",
        "0644",
    ),
}
LINKED = {f"{_UNITS}/multi-user.target.wants/grappe-first-boot.service": FIRST_BOOT}
# Where it is, YunoHost is post-installed: a server of its own, and no image.
INSTALLED = "/etc/yunohost/installed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedSpec(codec.Spec):
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

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values."""
        found = [("name", self.name, validators.problem_of_alias(self.name))]
        found.append(("container", self.container, validators.problem_of_name(self.container)))
        if self.running not in RUNNING:
            found.append(("running", self.running, f"is not one of {', '.join(RUNNING)}."))
        return problems.collect(found)
