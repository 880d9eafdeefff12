"""A stack file as written: every setting, its type, its default and its purpose.

`python -m stacks.declaration` writes Pulumi.yaml's declarations from it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from core import codec, problems

NAMESPACE = "grappe"
# Groups of settings that LXD takes as texts, however YAML writes them.
LXDS = ("limits", "config", "devices")
# The one secret setting; the host's own files hold the others in plain.
PASSWORD = "password"  # noqa: S105 - its name
# The languages of the texts for students.
LANGUAGES = ("en", "fr")
# The port of a server that sets none: one of its student's number.
OWN_PORT = -1


def setting(default: Any, text: str) -> Any:
    """Return a field of a stack file, with its default and its purpose."""
    metadata = {"text": text}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """A storage volume of one server.

    Attributes:
        name: Its name.
        path: Its path in the server.
        pool: Its storage pool on the lab host.
        size: Its size, as LXD writes it: 5GiB.
    """

    name: str
    path: str
    pool: str = "default"
    size: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuotaSettings:
    """The bounds for all servers of a student together; a missing one means no bound.

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
    """A port of the relay, and its target.

    Attributes:
        listen: The port of the relay.
        port: The target's port.
        server: The target server; by default the lab host, where HAProxy routes by domain.
    """

    listen: int = 0
    port: int = 0
    server: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunnelSettings:
    """A reverse SSH tunnel from the lab host to a server on the internet.

    Attributes:
        relay: That server's host URL; without it there is no tunnel.
        forwards: Its ports and targets; by default 8080 for http and 8443 for https.
    """

    relay: str = ""
    forwards: tuple[ForwardSettings, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """One server of a stack file; missing values follow from the student's number.

    Attributes:
        name: The server's short name.
        domain: Its domain.
        names: Names below its domain that lead to it too: www, wiki.
        port: The port of the lab host that leads to its sshd.
        address: Its address on the student's bridge.
        image: Its image, instead of the stack's.
        state: `running` or `stopped`.
        limits: Its limits, over the stack's.
        disk: The size of its disk, over the stack's: 5GiB.
        config: Its LXD configuration, over the stack's.
        devices: Its devices beside its network, by name, with LXD's settings.
        volumes: Storage volumes of its own, which outlive it while the stack lives.
        snapshots: Snapshots, taken once it is ready.
        ephemeral: Whether it vanishes when it stops.
        target: Its member of an LXD cluster.
        recipe: A recipe whose steps run in it, as the sheet does by hand.
        publish: The alias to publish it under then, for others to start from.
    """

    name: str = ""
    domain: str = ""
    names: tuple[str, ...] = ()
    port: int = OWN_PORT
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
        "The lab's own id, drawn once by `lab new`: all things of the lab carry it, "
        "whatever the stack's name",
    )
    host: str = setting(
        "",
        "The lab host: local:, or ssh://[user@]host[:port] with your own ssh_config, "
        "agent and known_hosts",
    )
    workstation: str = setting(
        "local:",
        "The student's machine, which gets the hosts entries and runs the probes: local:, "
        "ssh://[user@]host[:port], netns:NAME, or none",
    )
    student: str = setting("", "The student's name; left out, the stack's")
    number: int = setting(
        0,
        "The student's number, 1 to 4000; ports, addresses and the bridge's name follow from it. "
        "Of an image: its builder's, 1 to 250",
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
        "", "The address of the lab host that students dial; left out, the one that Grappe dials"
    )
    interface: str = setting(
        "",
        "The interface of the lab host that students' packets come in by, with "
        "grappe:address; left out, any",
    )
    profiles: tuple[str, ...] = setting(("default",), "LXD profiles of every server, in order")
    config: Mapping[str, str] = setting({}, "LXD configuration of every server")
    limits: Mapping[str, str] = setting(
        {}, "Limits of every server, as LXD names them: {memory: 2GiB, cpu: '2'}"
    )
    disk: str = setting("", "How large the disk of every server may grow, as LXD writes it: 5GiB")
    pool: str = setting("default", "The storage pool of the lab host for disks with a size")
    quota: QuotaSettings = setting(
        QuotaSettings(),
        "The limits of all servers of the student together: {containers: 3, cpu: 4, "
        "memory: 4GiB, disk: 20GiB}",
    )
    tunnel: TunnelSettings = setting(
        TunnelSettings(),
        "The way in from the internet: {relay: 'ssh://root@relay', forwards: "
        "[{listen: 8080, port: 80}, {listen: 8443, port: 443}]}",
    )
    default: str = setting(
        "", "The server that gets requests for unknown domains; at most one of a lab host"
    )
    login: str = setting(
        "",
        "The administrator that the post-installation makes; left out, the student "
        "(d_artagnan for d-artagnan)",
    )
    keys: tuple[str, ...] = setting(
        (),
        "The student's public SSH keys: for the login after a post-installation by Grappe, else "
        "for the user grappe-student",
    )
    language: str = setting(
        "",
        f"The language of the card and of `lab check`: {' or '.join(LANGUAGES)}; left out, that of "
        "the locale where the command runs",
    )
    adopt: bool = setting(
        False,
        "Take over existing containers, images, rules and routing that were made by hand "
        "and belong to no lab",
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
    overwrite: bool = setting(
        False, "Of a host: whether the content of the second disk may be deleted"
    )


K = TypeVar("K", Settings, ImageSettings, HostSettings)
# The settings of a stack file, by kind.
KINDS: dict[str, type[Settings | ImageSettings | HostSettings]] = {
    "student": Settings, "image": ImageSettings, "host": HostSettings,
}  # fmt: skip


def load(kind: type[K], config: Mapping[str, str], mistakes: list[problems.Mistake]) -> K:
    """Read the settings of a stack from the engine's configuration.

    Args:
        kind: The settings' class.
        config: Texts by key, as the engine gives them: `grappe:number` -> `7`.
        mistakes: The list to add unknown keys and wrongly typed values to; such a setting gets
            its default, so that the checks of the rest go on.
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
    """Return servers with their LXD settings as texts."""
    if not isinstance(servers, list):
        return servers
    return [
        {key: _as_texts(item) if key in LXDS else item for key, item in server.items()}
        if isinstance(server, dict)
        else server
        for server in servers
    ]


def _as_texts(value: Any) -> Any:
    """Return a group of LXD settings as texts: 2 as "2", true as "true", nothing as empty."""
    if isinstance(value, dict):
        return {key: _as_texts(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else value


def _default(key: str) -> Any:
    """Return a setting's default: the engine passes it to every kind of stack."""
    return next(written(getattr(kind(), key)) for kind in KINDS.values() if hasattr(kind(), key))


def written(value: Any) -> Any:
    """Return a setting for a stack file: a group without its defaults."""
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
