"""A stack file as it is written: every setting, its type, its default and what it is for.

What Pulumi.yaml declares to the engine is made of it: `python -m stacks.declaration`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from core import codec, problems

NAMESPACE = "grappe"
# The one setting that is a secret; the others stand in plain in the host's own files.
# Groups of settings that LXD takes as texts, however YAML writes them.
LXDS = ("limits", "config", "devices")
PASSWORD = "password"  # noqa: S105 - its name


def setting(default: Any, text: str) -> Any:
    """Return a field of a stack file: what it is where it is left out, and what it is for."""
    metadata = {"text": text}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """A storage volume of one server.

    Attributes:
        name: Its name.
        path: Where the server has it.
        pool: The storage pool of the lab host that it is in.
        size: How large it may grow, as LXD writes it: 5GiB.
    """

    name: str
    path: str
    pool: str = "default"
    size: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuotaSettings:
    """What all servers of a student may have together; what is left out has no bound.

    Attributes:
        containers: How many servers.
        cpu: How many processors.
        memory: How much memory, as LXD writes it: 4GiB.
        disk: How much room for disks and volumes.
    """

    containers: int = 0
    cpu: int = 0
    memory: str = ""
    disk: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForwardSettings:
    """A port of the relay, and where it leads.

    Attributes:
        listen: The port of the relay.
        port: The port that it leads to.
        server: Of which server; left out, of the lab host, where HAProxy leads on by domain.
    """

    listen: int = 0
    port: int = 0
    server: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunnelSettings:
    """A reverse SSH tunnel from the lab host to a server on the internet.

    Attributes:
        relay: That server, a host URL; none without it.
        forwards: What it listens on; left out, 8080 for http and 8443 for https.
    """

    relay: str = ""
    forwards: tuple[ForwardSettings, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """One server of a stack file; what is left out follows from the student's number.

    Attributes:
        name: The server's short name.
        domain: Its domain.
        names: Names below its domain that lead to it too: www, wiki.
        port: The port of the lab host that leads to its sshd.
        address: Its address on the student's bridge.
        image: The image it starts from, instead of the stack's.
        state: `running` or `stopped`.
        limits: Its limits, over the stack's.
        disk: How large its disk may grow, over the stack's: 5GiB.
        config: Its LXD configuration, over the stack's.
        devices: Its devices beside its network, by name, as LXD names their settings.
        volumes: Storage volumes of its own, which outlive it while the stack lives.
        snapshots: Snapshots taken of it once it is ready.
        ephemeral: Whether it vanishes when it stops.
        target: The member of an LXD cluster that it is on.
        recipe: A recipe whose steps are done in it, as the sheet does by hand.
        publish: The alias under which it is published then, for others to start from.
    """

    name: str = ""
    domain: str = ""
    names: tuple[str, ...] = ()
    port: int = 0
    address: str = ""
    image: str = ""
    state: str = "running"
    limits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    disk: str = ""
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    volumes: tuple[VolumeSettings, ...] = ()
    snapshots: tuple[str, ...] = ()
    ephemeral: bool = False
    target: str = ""
    recipe: str = ""
    publish: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The stack file of a student."""

    kind: str = setting(
        "student",
        "What the stack is: student, a lab of servers; image, a golden image that "
        "servers start from; or host, a bare server made a lab host",
    )
    id: str = setting(
        "",
        "The lab's own id, made once by `lab new`: what the lab makes carries it, "
        "whatever the stack is called",
    )
    host: str = setting(
        "",
        "The lab host: local:, or ssh://[user@]host[:port] with your own ssh_config, "
        "agent and known_hosts",
    )
    workstation: str = setting(
        "local:",
        "Where hosts entries and probes act: local:, ssh://[user@]host[:port], netns:NAME, or none",
    )
    student: str = setting("", "Whose lab it is; left out, the stack's name")
    number: int = setting(
        0, "The student's number, 1 to 4000; ports, addresses and the bridge's name follow from it"
    )
    image: str = setting(
        "yunohost-12",
        "The image the servers start from, an alias or a fingerprint of the lab host's LXD",
    )
    servers: tuple[ServerSettings, ...] = setting(
        (ServerSettings(name="yuno1"), ServerSettings(name="yuno2")),
        f"The servers: {{{', '.join(field.name for field in dataclasses.fields(ServerSettings))}}}",
    )
    domain: str = setting(
        "grappe.test", "The parent of the servers' domains, <server>.<student>.<domain>"
    )
    address: str = setting(
        "", "The address of the lab host that students dial; left out, the one it was reached at"
    )
    interface: str = setting(
        "",
        "The interface of the lab host that students come in by, with grappe:address;"
        " left out, any",
    )
    profiles: tuple[str, ...] = setting(("default",), "LXD profiles of every server, in order")
    config: Mapping[str, str] = setting({}, "LXD configuration of every server")
    limits: Mapping[str, str] = setting(
        {}, "Limits of every server, as LXD names them: {memory: 2GiB, cpu: '2'}"
    )
    disk: str = setting("", "How large the disk of every server may grow, as LXD writes it: 5GiB")
    pool: str = setting("default", "The storage pool of the lab host that disks with a size are in")
    quota: QuotaSettings = setting(
        QuotaSettings(),
        "What all servers of the student may have together: {containers: 3, cpu: 4, "
        "memory: 4GiB, disk: 20GiB}",
    )
    tunnel: TunnelSettings = setting(
        TunnelSettings(),
        "The way in from the internet: {relay: 'ssh://root@relay', forwards: "
        "[{listen: 8080, port: 80}, {listen: 8443, port: 443}]}",
    )
    default: str = setting(
        "", "The server that gets what is for no known domain; one of a lab host may"
    )
    login: str = setting(
        "", "The administrator that the post-installation makes; left out, the student"
    )
    adopt: bool = setting(
        False,
        "Take over containers, images, rules and routing by hand that exist already "
        "and are nobody's",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The stack file of a golden image."""

    kind: str = "image"
    id: str = ""
    host: str = ""
    recipe: str = setting("", "Of an image: its recipe, a folder of recipes/")
    alias: str = setting("", "Of an image: its alias; left out, the recipe's")
    number: int = 0
    adopt: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostSettings:
    """The stack file of a lab host, made out of a bare server."""

    kind: str = "host"
    id: str = ""
    host: str = ""
    daemon: str = setting("lxd", "Of a host: lxd (Debian's package), lxd-snap, or incus")
    upgrade: bool = setting(True, "Of a host: whether its packages are brought up to date")
    second_disk: str = setting(
        "",
        "Of a host: the disk or partition that is to mirror its btrfs root, as "
        "/dev/sdb; left out, none",
    )
    overwrite: bool = setting(False, "Of a host: whether what the second disk holds may go")


K = TypeVar("K", Settings, ImageSettings, HostSettings)
# What a stack file may say, by what it is the stack file of.
KINDS: dict[str, type[Settings | ImageSettings | HostSettings]] = {
    "student": Settings, "image": ImageSettings, "host": HostSettings,
}  # fmt: skip


def load(kind: type[K], config: Mapping[str, str], mistakes: list[problems.Mistake]) -> K:
    """Read the settings of a stack from the engine's configuration.

    Args:
        kind: What it is the stack file of.
        config: Texts by key, as the engine gives them: `grappe:number` -> `7`.
        mistakes: Where unknown keys and values of a wrong type are added; such a setting
            then has its default, so that the rest can be looked at too.

    """
    hints = {f.name: str(f.type) for each in KINDS.values() for f in dataclasses.fields(each)}
    own = {field.name for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for full, text in config.items():
        namespace, _, key = full.partition(":")
        if namespace != NAMESPACE or (key == PASSWORD and not text):
            continue
        value = text if hints.get(key, "str") == "str" else _parse(text)
        value = (
            _as_texts(value) if key in LXDS else _with_texts(value) if key == "servers" else value
        )
        if key in own or key not in hints:
            values[key] = value
        elif value != _default(key):
            reason = f"is a setting of another kind of stack than {kind().kind}."
            mistakes.append(problems.Mistake(key, reason))
    return codec.salvage(kind, values, mistakes) or kind()


def _with_texts(servers: Any) -> Any:
    """Return servers whose settings of LXD's are texts, as LXD has them."""
    if not isinstance(servers, list):
        return servers
    return [
        {key: _as_texts(item) if key in LXDS else item for key, item in server.items()}
        if isinstance(server, dict)
        else server
        for server in servers
    ]


def _as_texts(value: Any) -> Any:
    """Return a group of settings of LXD's: 2 is "2" there, true is "true", nothing is empty."""
    if isinstance(value, dict):
        return {key: _as_texts(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else value


def _default(key: str) -> Any:
    """Return what a setting is where it is left out: the engine says so of every kind."""
    return next(written(getattr(kind(), key)) for kind in KINDS.values() if hasattr(kind(), key))


def written(value: Any) -> Any:
    """Return a setting as a stack file has it: a group says only what is not left out."""
    if isinstance(value, tuple):
        return [written(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        bare = codec.defaults(type(value))
        return {key: item for key, item in codec.encode(value).items() if item != bare.get(key)}
    return codec.encode(value)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
