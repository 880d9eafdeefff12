"""The spec of a published image."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from core import codec, problems, validators

# Files that no two servers may share; publishing removes them from the copy. By folder, the
# prefixes of their names.
GENERALISED = {
    "/etc/ssh": "ssh_host_",
    "/var/lib/dhcp": "",
    "/var/lib/systemd/network": "",
    "/var/lib/dbus": "machine-id",
}
RUNNING = ("stop", "restart")
# Publishing empties these, so that systemd makes new ones at the first boot.
EMPTIED = ("/etc/machine-id",)
HERE = pathlib.Path(__file__).parent
_UNITS = "/etc/systemd/system"
FIRST_BOOT = f"{_UNITS}/grappe-first-boot.service"
# Files that make a clone a server of its own: content and mode, by path.
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


def template_of(container: str) -> str:
    """Return the name of a container's generalised copy."""
    return f"{container[:40]}-published"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedSpec(codec.Spec):
    """An image published from a container.

    Attributes:
        name: The alias that points to it.
        project: The LXD project of the container.
        container: The container; publishing copies it, and does not change it.
        container_id: The container's own id; another container is published again.
        properties: The image's properties in `lxc image show`; a change publishes again.
        running: How to treat a running container: `stop` it and leave it so, or
            `restart` it after the copy.
        adopt: Whether to take over an image that the alias points to already, as it is.
    """

    project: str
    container: str
    container_id: str = ""
    running: str = "stop"
    adopt: bool = False
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def copy(self) -> str:
        """The name of the generalised copy."""
        return template_of(self.container)

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_alias(self.name)
        yield "container", self.container, validators.problem_of_name(self.container)
        if self.running not in RUNNING:
            yield "running", self.running, f"is not one of {', '.join(RUNNING)}."
