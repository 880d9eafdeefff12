"""The spec of a container."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar

from core import codec, problems, validators
from providers.lxd.options import devices as devices_of_lxd

STATES = ("running", "stopped", "any")
# The device that carries the static address.
NIC = "eth0"
# The device of its root file system.
ROOT = "root"
# The types of devices that a stack may add, and the required keys of each.
NEEDED_BY_DEVICE = {
    "disk": ("path", "source"), "proxy": ("listen", "connect"), "gpu": (), "usb": (),
    "unix-char": (), "unix-block": (), "unix-hotplug": (), "tpm": ("path",), "none": (),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContainerSpec(codec.Spec):
    """A system container.

    Attributes:
        project: Its LXD project.
        image: The image's alias or fingerprint; resolved when the container is made.
        profiles: LXD profiles, in order.
        config: LXD's instance configuration, without `limits.` and what Grappe sets.
        limits: LXD's settings without the prefix `limits.`: `{"memory": "2GiB", "cpu": "2"}`.
        network: Its bridge.
        address: Its static IPv4 address on that bridge.
        state: `running`, `stopped`, or `any`: started once, and then left as it is.
        port: The TCP port that must answer before it counts as ready; 0 for none.
        address_seconds: Seconds until it must have its address.
        system_seconds: Seconds until its systemd must be up.
        port_seconds: Seconds until its port must answer.
        devices: LXD's devices beside the network's, by name: disk, proxy and the like.
        disk: The size of its root disk, as LXD writes it; empty for the profile's.
        pool: The storage pool of that disk, where its size is given.
        ephemeral: Whether it vanishes when it stops.
        target: Its member of an LXD cluster; empty for LXD's choice.
        generation: Any text; a change of it replaces the container.
        adopt: Whether to take over an existing container with its content, from this project or
            LXD's default project.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset(
        {"owner", "name", "project", "image", "ephemeral", "target", "generation"}
    )
    ID: ClassVar[str] = "{project}/{name}"

    project: str
    image: str
    network: str
    address: str
    profiles: tuple[str, ...] = ("default",)
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    state: str = "running"
    port: int = 22
    address_seconds: int = 90
    system_seconds: int = 180
    port_seconds: int = 90
    devices: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    ephemeral: bool = False
    target: str = ""
    generation: str = ""
    disk: str = ""
    pool: str = "default"
    adopt: bool = False

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
        yield "address", self.address, validators.problem_of_ipv4(self.address)
        yield "network", self.network, validators.problem_of_interface(self.network)
        yield "port", self.port, validators.problem_of_port(self.port) if self.port else ""
        if self.state not in STATES:
            yield "state", self.state, f"is not a state: {', '.join(STATES)}."
        if not self.image.strip():
            yield "image", self.image, "is empty. An alias or a fingerprint."
        for key, value in self.config.items():
            if key.startswith(("user.grappe.", "volatile.")):
                yield f"config.{key}", value, "is set by Grappe or by LXD."
            if key.startswith("limits."):
                yield f"config.{key}", value, f"belongs to limits: {key[7:]}."
        for name, device in self.devices.items():
            for part, wrong, problem in device_problems(name, device):
                yield f"devices.{name}{part}", wrong, problem


def device_problems(name: str, device: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    """Yield a device's problems: the key behind its name, the value, the problem."""
    if problem := _problem_of_name(name):
        yield "", name, problem
    kind = device.get("type", "")
    if kind not in NEEDED_BY_DEVICE:
        yield ".type", kind, f"is not a type of device: {', '.join(NEEDED_BY_DEVICE)}."
    for key, value in device.items():
        if not value.isprintable():
            yield f".{key}", value, "has control characters in it."
        elif problem := devices_of_lxd.problem_of_option(kind, key, value):
            yield f".{key}", value, problem
    yield from devices_of_lxd.contradictions(kind, device)
    for key in NEEDED_BY_DEVICE.get(kind, ()):
        if not device.get(key):
            yield f".{key}", "", f"is missing: a {kind} has one."


def _problem_of_name(name: str) -> str:
    own = {
        NIC: "is the student's network, and Grappe's own.",
        ROOT: "is the server's own disk. Its size: disk.",
    }
    return own.get(name, "") or devices_of_lxd.problem_of_name(name)


def settings(spec: ContainerSpec) -> dict[str, str]:
    """Return LXD's configuration of the instance, with the limits."""
    limits = {f"limits.{key}": value for key, value in spec.limits.items()}
    return {**spec.config, **limits}


def devices(spec: ContainerSpec) -> dict[str, dict[str, str]]:
    """Return the instance's own devices; the profile brings a root disk without a size."""
    added = {name: dict(device) for name, device in spec.devices.items()}
    if spec.disk:
        added[ROOT] = {"type": "disk", "path": "/", "pool": spec.pool, "size": spec.disk}
    return {
        **added,
        NIC: {
            "type": "nic",
            "name": NIC,
            "network": spec.network,
            "ipv4.address": spec.address,
        },
    }


def split_settings(config: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split LXD's configuration into a spec's config and limits."""
    limits = {key[7:]: value for key, value in config.items() if key.startswith("limits.")}
    rest = {key: value for key, value in config.items() if not key.startswith("limits.")}
    return rest, limits
