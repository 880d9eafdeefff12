"""The spec of a lab's preflight: the whole planned lab."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from core import codec


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedServer:
    """One planned server; its fields are named as in the stack file.

    Attributes:
        image: The image that the host must have; empty where the lab itself publishes it first.
        source: The image that it starts from, published by this lab or not.
        volumes: Its volumes, as `pool/name`.
        disk: The bytes that its disk may take; 0 for no limit.
        snapshots: Its snapshots by name.
    """

    name: str
    domain: str
    port: int
    address: str
    image: str
    source: str = ""
    ephemeral: bool = False
    state: str = "running"
    target: str = ""
    volumes: tuple[str, ...] = ()
    disk: int = 0
    snapshots: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedProxy:
    """TCP ports of the host that a device of a server listens at.

    Attributes:
        key: The setting that names them.
        first: The first port.
        last: The last port.
    """

    key: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreflightSpec(codec.Spec):
    """A whole planned lab.

    Attributes:
        number: The student's number.
        student: The student.
        project: Its LXD project.
        bridge: Its bridge.
        subnet: The bridge's network.
        address: The address students dial; by default, the one at which we reached the host.
        profiles: The LXD profiles of its servers.
        default: The server that gets requests for unknown domains, where one does.
        adopt: Whether it takes over routing by hand for its domains.
        servers: Its servers.
        login: The administrator that a post-installation makes; empty without one.
        workstation: The machine with its hosts entries, or `none`.
        relay: The relay of its tunnel, where it has one.
        listens: The ports that the relay shall listen on.
        relay_address: The address of the relay's sshd, with `relay_port` and its host key
            `relay_key`.
        needs: URLs that steps of recipes in its servers require: `(step, url)`.
        interface: The host's interface that students come by; empty for any.
        pools: The storage pools that it uses: `(key, pool)`.
        paths: The host's files and devices that its servers have: `(key, path)`.
        modules: The kernel's modules that its servers want loaded: `(key, name)`.
        addresses: The host's addresses that devices of its servers listen at: `(key, address)`.
        abilities: What devices and settings of its servers want of the host: `(key, ability)`, as
            in `remote.surveys.abilities`.
        proxies: The host's ports that devices of its servers listen at.
        unchecked: The keys of settings that LXD alone judges.
    """

    MARKED: ClassVar[bool] = False

    number: int
    student: str
    project: str
    bridge: str
    subnet: str
    address: str = ""
    profiles: tuple[str, ...] = ("default",)
    default: str = ""
    adopt: bool = False
    servers: tuple[PlannedServer, ...] = ()
    login: str = ""
    workstation: str = "none"
    relay: str = ""
    listens: tuple[int, ...] = ()
    relay_address: str = ""
    relay_port: int = 22
    relay_key: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    interface: str = ""
    pools: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    modules: tuple[tuple[str, str], ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    abilities: tuple[tuple[str, str], ...] = ()
    proxies: tuple[PlannedProxy, ...] = ()
    unchecked: tuple[str, ...] = ()
