"""The layout of a sandbox: machines, namespaces, addresses, files."""

from __future__ import annotations

import dataclasses
import pathlib
import re

from core import errors, names
from sandbox import systems

HOST_ADDRESS = "192.168.8.10"
WORKSTATION_ADDRESS = "192.168.8.20"
HOST_OUTER_ADDRESS = "198.51.100.10"
RELAY_ADDRESS = "198.51.100.20"
IMAGE_ALIAS = "standin"


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine of a sandbox that boots: the lab host, or the relay.

    Attributes:
        name: Its namespace, and its name in ssh_config.
        hostname: Its host name.
        system: Its system.
        address: The address of its sshd.
        near: The namespace that reaches that address.
        folder: The folder of its own files.
    """

    name: str
    hostname: str
    system: systems.System
    address: str
    near: str
    folder: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        """Its disk, a btrfs image."""
        return self.folder / "disk.btrfs"

    @property
    def second_disk(self) -> pathlib.Path:
        """An empty second disk of a bare lab host."""
        return self.folder / "second-disk"

    @property
    def root(self) -> pathlib.Path:
        """The mount point of the disk, in the machine's own mount namespace."""
        return self.folder / "root"

    @property
    def console(self) -> pathlib.Path:
        """The output of its console."""
        return self.folder / "console.log"

    @property
    def seed(self) -> pathlib.Path:
        """The files that go onto its fresh disk."""
        return self.folder / "seed"


@dataclasses.dataclass(frozen=True)
class Layout:
    """One sandbox.

    Attributes:
        name: The prefix of its three namespaces.
        asked: The lab host's system, if the sandbox's name does not say it.
    """

    name: str = "grappe"
    asked: systems.System | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        # Root removes folders of this name.
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            raise errors.BadInputError(
                f"{self.name!r} is not the name of a sandbox",
                do="GRAPPE_SANDBOX: small letters, digits and dashes, starting with a letter",
            )

    @property
    def system(self) -> systems.System:
        """The lab host's system: as asked, as noted, or by the suffix of the sandbox's name."""
        if self.asked:
            return self.asked
        noted = systems.ALL.get(self.noted.read_text()) if self.noted.exists() else None
        if noted:
            return noted
        for system in systems.ALL.values():
            if system.suffix and self.name.endswith(system.suffix):
                return system
        return systems.LXD

    @property
    def host(self) -> str:
        """The namespace of the lab host, and its name in ssh_config."""
        return f"{self.name}-host"

    @property
    def workstation(self) -> str:
        """The namespace of the student's workstation."""
        return f"{self.name}-ws"

    @property
    def relay(self) -> str:
        """The namespace of the server on the internet, and its name in ssh_config."""
        return f"{self.name}-relay"

    @property
    def namespaces(self) -> tuple[str, str, str]:
        """The three namespaces."""
        return (self.host, self.workstation, self.relay)

    @property
    def lab_host(self) -> Machine:
        """The lab host, reached through the sandbox's network."""
        folder = self.folder / "host"
        return Machine(self.host, "lab-host", self.system, HOST_ADDRESS, self.workstation, folder)

    @property
    def relay_machine(self) -> Machine:
        """The relay, which this machine reaches whatever the state of its link to the lab host."""
        folder = self.folder / "relay"
        return Machine(self.relay, "relay", systems.RELAY, RELAY_ADDRESS, self.relay, folder)

    @property
    def machines(self) -> tuple[Machine, Machine]:
        """The machines that boot."""
        return (self.lab_host, self.relay_machine)

    @property
    def folder(self) -> pathlib.Path:
        """The folder of this sandbox alone, gone after `down`."""
        return names.cache() / "sandboxes" / self.name

    @property
    def made(self) -> pathlib.Path:
        """A file that notes that a bare server has become a lab host."""
        return self.folder / "made-a-lab-host"

    @property
    def limits(self) -> pathlib.Path:
        """The file of the kernel's limits before any sandbox, shared by a machine's sandboxes."""
        return self.folder / "limits.json"

    @property
    def noted(self) -> pathlib.Path:
        """The file that names the lab host's system while the sandbox is up."""
        return self.folder / "system"

    @property
    def workstation_ssh_config(self) -> pathlib.Path:
        """The ssh_config of the workstation, which reaches the machines directly."""
        return self.folder / "workstation_ssh_config"

    @property
    def ssh_config(self) -> pathlib.Path:
        """An ssh_config for a plain `ssh` from this machine to the machines."""
        return self.folder / "ssh_config"

    @property
    def host_url(self) -> str:
        """The lab host's URL for `grappe:host`."""
        return f"ssh://root@{self.host}"

    @property
    def relay_url(self) -> str:
        """The relay's URL for `grappe:tunnel`."""
        return f"ssh://root@{self.relay}"

    @property
    def workstation_url(self) -> str:
        """The workstation's URL for `grappe:workstation`."""
        return f"netns:{self.workstation}"


def private_key() -> pathlib.Path:
    """Return the private key for every sandbox of this machine."""
    return names.cache() / "id_ed25519"
