"""The spec of a student's server, and the mistakes in its settings; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core import problems, validators
from core.names import MAX_NUMBER, MIN_NUMBER
from providers.lxd.container import model as container
from providers.lxd.options import config_keys, values
from providers.lxd.published import model as published
from stacks import allocation, settings, ways

if TYPE_CHECKING:
    from stacks import recipe

# With `_ssh` it is a comment of iptables, which has at most 63 characters.
MAX_NAME = 59
# Ports that every lab host uses itself: sshd and HAProxy.
HOST_PORTS = tuple(ways.PORTS.values())
# The validators of optional texts.
_VALIDATORS = {
    "target": validators.problem_of_member, "disk": values.problem_of_size,
    "publish": validators.problem_of_alias,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSpec(settings.ServerSettings):
    """One server, with all values filled in.

    Attributes:
        read: Its recipe, with the files' contents.
    """

    read: recipe.ReadRecipe | None

    @property
    def domains(self) -> tuple[str, ...]:
        """Its domain, and the names below it."""
        return (self.domain, *(f"{name}.{self.domain}" for name in self.names))


def resolve(given: settings.Settings, student: str) -> tuple[ServerSpec, ...]:
    """Return the servers with all values: those of the stack file, else those derived from it."""
    number = given.number
    return tuple(
        ServerSpec(
            **{
                **vars(server),
                "domain": server.domain or allocation.domain(server.name, student, given.domain),
                "port": allocation.ssh_port(number, index)
                if server.port == settings.OWN_PORT
                else server.port,
                "address": server.address or allocation.address(number, index),
                "image": server.image or given.image,
                "limits": _present({**given.limits, **server.limits}),
                "disk": server.disk or given.disk,
                "config": _present({**given.config, **server.config}),
                "devices": {**server.devices, **_volume_devices(server.volumes)},
                "read": _recipe(server.recipe)[0],
            }
        )
        for index, server in enumerate(given.servers)
    )


def _present(settings_of: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that have a value: LXD treats an empty text as none."""
    return {key: value for key, value in settings_of.items() if value}


def checks(
    given: settings.Settings, servers: Sequence[ServerSpec], *, follows: bool
) -> Iterator[tuple[str, Any, str]]:
    """Yield the checks of the servers: the key, the value, the problem.

    Args:
        given: The settings.
        servers: The servers that they mean.
        follows: Whether the settings behind domains are valid; if not, they are reported already.
    """
    numbered = MIN_NUMBER <= given.number <= MAX_NUMBER
    subnet = allocation.subnet(given.number) if numbered else ""
    for index, (written, server) in enumerate(zip(given.servers, servers, strict=True)):
        yield from _checks(f"servers[{index}]", written, server, subnet, follows=follows)
    for field in ("name", "domain", "port", "address"):
        yield from _twice(field, [getattr(server, field) for server in servers])
    yield from _names_of_templates(servers)
    yield from _names_of_others(servers)
    yield from _shared_volumes(servers)


def _checks(
    prefix: str, written: settings.ServerSettings, server: ServerSpec, subnet: str, *, follows: bool
) -> Iterator[tuple[str, Any, str]]:
    """Yield the checks of one server: the key, the value, the problem."""
    yield f"{prefix}.name", server.name, _name_problem(server.name)
    if written.domain or (follows and not validators.problem_of_name(server.name)):
        problem = validators.problem_of_domain(server.domain)
        if not problem and server.domain != server.domain.lower():
            problem = f'has capitals: "{server.domain.lower()}"?'
        yield f"{prefix}.domain", server.domain, problem
    for number, label in enumerate(server.names):
        yield f"{prefix}.names[{number}]", label, _label_problem(label, server.names[:number])
    if written.port != settings.OWN_PORT:
        yield f"{prefix}.port", server.port, _port_problem(server.port)
    if written.address:
        yield f"{prefix}.address", server.address, _address_problem(server.address, subnet)
    if server.state not in {"running", "stopped"}:
        yield f"{prefix}.state", server.state, "is not a state: running or stopped."
    yield f"{prefix}.image", server.image, _image_problem(server.image)
    for key, value in written.limits.items():
        yield f"{prefix}.limits.{key}", value, setting_problem("limits", key, value)
    yield from _server_extras(prefix, written)


def setting_problem(group: str, key: str, value: str) -> str:
    """Return what is wrong with an LXD setting of a lab or a server."""
    if not all(c.isalnum() or c in "._-" for c in key) or not key.isascii():
        return f"cannot be set: its key is not one of LXD's {group}."
    # A text for cloud-init has lines; no LXD setting has other control characters.
    if not value.translate({10: None, 9: None}).isprintable():
        return "has control characters in it."
    if group == "limits":
        problem, known = config_keys.problem_of_limit(key, value), config_keys.is_limit(key)
    else:
        problem, known = config_keys.problem_of_config(key, value), config_keys.is_known(key)
    if value or not problem:
        return problem
    # LXD treats an empty text as absent.
    return "" if known else f"{problem} Is it behind a comma? Then quote the whole value before it."


def _twice(field: str, values: list[Any]) -> Iterator[tuple[str, Any, str]]:
    """Yield the values that two servers share; skip domains of nameless servers."""
    for index, value in enumerate(values):
        first = values.index(value)
        if first != index and value and not str(value).startswith("."):
            yield f"servers[{index}].{field}", value, f"is servers[{first}]'s already."


def _names_of_others(servers: Sequence[ServerSpec]) -> Iterator[tuple[str, Any, str]]:
    """Yield the names below a domain that are another server's domain."""
    domains = [server.domain for server in servers]
    for index, server in enumerate(servers):
        for number, (label, name) in enumerate(zip(server.names, server.domains[1:], strict=True)):
            if name in domains:
                problem = f"means {name}, the domain of servers[{domains.index(name)}]."
                yield f"servers[{index}].names[{number}]", label, problem


def _names_of_templates(servers: Sequence[ServerSpec]) -> Iterator[tuple[str, Any, str]]:
    """Yield the names that the copy of a published server has."""
    copies: dict[str, int] = {}
    for index, server in enumerate(servers):
        if server.publish and server.name:
            first = copies.setdefault(published.template_of(server.name), index)
            if first != index:
                made = f"servers[{first}].publish makes"
                problem = f"needs the copy that {made}: their names begin alike."
                yield f"servers[{index}].publish", server.publish, problem
    for index, server in enumerate(servers):
        if server.name in copies:
            problem = f"is the name of the copy that servers[{copies[server.name]}].publish makes."
            yield f"servers[{index}].name", server.name, problem


def _name_problem(name: str) -> str:
    """Return the problem of a server's name, which also begins the comments of its NAT rules."""
    if (problem := validators.problem_of_name(name)) or len(name) <= MAX_NAME:
        return problem
    return f"has {len(name)} characters, and a server's name has at most {MAX_NAME}."


def _label_problem(label: str, before: tuple[str, ...]) -> str:
    if label in before:
        return "is there twice."
    if "." in label or validators.problem_of_domain(f"{label}.test") or label != label.lower():
        return "is not a name below the domain. Small letters, digits and dashes: www, wiki."
    return ""


def _shared_volumes(servers: Iterable[ServerSpec]) -> Iterator[tuple[str, Any, str]]:
    """Yield the volumes of one name in one pool: two servers would share one."""
    holders: dict[tuple[str, str], str] = {}
    for index, server in enumerate(servers):
        for number, volume in enumerate(server.volumes):
            prefix = f"servers[{index}].volumes[{number}]"
            first = holders.setdefault((volume.pool, volume.name), prefix)
            if first != prefix:
                yield f"{prefix}.name", volume.name, f"is {first}'s already."


def _port_problem(port: int) -> str:
    if port in HOST_PORTS:
        return "is the lab host's own (ssh, http or https). From 1024 up is safe."
    return validators.problem_of_port(port)


def _address_problem(address: str, subnet: str) -> str:
    if problem := validators.problem_of_ipv4(address):
        return problem
    if subnet:
        network = ipaddress.IPv4Network(subnet)
        if not network[2] <= ipaddress.IPv4Address(address) <= network[-2]:
            return f"is not free on the student's bridge {subnet}: {network[2]} to {network[-2]}."
    return ""


def _image_problem(image: str) -> str:
    if image and all(c.isalnum() or c in "._-/" for c in image) and len(image) <= 128:  # noqa: PLR2004
        return ""
    return "is not an image. An alias of letters, digits and ._-/, or a fingerprint."


def _recipe(name: str) -> tuple[recipe.ReadRecipe | None, str]:
    """Return a server's recipe, or what is wrong with it.

    A run without recipes does not import their module.
    """
    if not name:
        return None, ""
    from stacks import recipe  # noqa: PLC0415

    known = recipe.names()
    if name not in known:
        return None, f"is not a recipe: {', '.join(known)}.{problems.near(name, known)}"
    try:
        return recipe.read(name), ""
    except problems.Mistakes as error:
        return None, f"is not valid: {error}"


def _server_extras(prefix: str, asked: settings.ServerSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield the checks of the settings that most servers do not use."""
    for key, value in asked.config.items():
        yield f"{prefix}.config.{key}", value, setting_problem("config", key, value)
    mounted = {_folder(volume.path): volume.name for volume in asked.volumes}
    for name, device in asked.devices.items():
        path = device.get("path", "") if device.get("type") == "disk" else ""
        other = mounted.setdefault(_folder(path), name) if path else name
        problem = "" if other == name else f"is where {other} is mounted already."
        yield f"{prefix}.devices.{name}.path", path, problem
        for part, what, problem in container.device_problems(name, device):
            yield f"{prefix}.devices.{name}{part}", what, problem
    yield from _volume_checks(prefix, asked)
    for key, judge in _VALIDATORS.items():
        if value := getattr(asked, key):
            yield f"{prefix}.{key}", value, judge(value)
    if asked.ephemeral and asked.publish:
        problem = "stops the server, and a stopped ephemeral one is deleted."
        yield f"{prefix}.publish", asked.publish, problem
    if asked.recipe and asked.state != "running":
        yield f"{prefix}.recipe", asked.recipe, "needs a running server: state: running."
    for number, name in enumerate(asked.snapshots):
        problem = _snapshot_problem(name, asked.snapshots[:number])
        yield f"{prefix}.snapshots[{number}]", name, problem
    if asked.recipe:
        yield f"{prefix}.recipe", asked.recipe, _recipe(asked.recipe)[1]


def _volume_checks(prefix: str, asked: settings.ServerSettings) -> Iterator[tuple[str, Any, str]]:
    """Yield the checks of a server's volumes, each also as the device that it becomes."""
    for index, volume in enumerate(asked.volumes):
        key = f"{prefix}.volumes[{index}]"
        yield f"{key}.name", volume.name, validators.problem_of_name(volume.name)
        if not volume.name:
            continue
        problem = validators.problem_of_path(volume.path)
        if _folder(volume.path) in [_folder(other.path) for other in asked.volumes[:index]]:
            problem = problem or "is another volume's already, of this server."
        inside = _volume_devices([volume])[volume.name]
        for part, value, wrong in container.device_problems(volume.name, inside):
            yield f"{key}{part or '.name'}", value, "" if problem else wrong
        if volume.name in asked.devices:
            problem = problem or "has the name of a device of this server."
        yield f"{key}.path", volume.path, problem
        yield f"{key}.pool", volume.pool, validators.problem_of_member(volume.pool)
        if volume.size:
            yield f"{key}.size", volume.size, values.problem_of_size(volume.size)


def _folder(path: str) -> str:
    """Return a path without what makes no difference: /a is /a/."""
    return posixpath.normpath(path)


def _snapshot_problem(name: str, before: tuple[str, ...]) -> str:
    return "is there twice." if name in before else validators.problem_of_alias(name)


def _volume_devices(volumes: Iterable[settings.VolumeSettings]) -> dict[str, dict[str, str]]:
    return {
        volume.name: {
            "type": "disk", "pool": volume.pool, "source": volume.name, "path": volume.path,
        }
        for volume in volumes
    }  # fmt: skip
