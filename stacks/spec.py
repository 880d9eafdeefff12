"""A student's lab, whole: what a stack file means, with everything that follows from it."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from providers import rules, wire
from providers.hosts import url
from providers.lxd.container import model as container
from stacks import allocation, quota, recipe, settings, tunnel

# Ports of the lab host that are its own on every lab host: sshd and HAProxy.
HOST_PORTS = (22, 80, 443)
# YunoHost's own bounds.
MIN_PASSWORD, MAX_PASSWORD = 8, 127
# `grappe-<student>` and a server's name are LXD and DNS names of at most 63 characters.
MAX_STUDENT = 63 - len("grappe-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """One server, with nothing left to follow."""

    name: str
    domain: str
    port: int
    address: str
    image: str
    state: str
    limits: Mapping[str, str]
    disk: str
    config: Mapping[str, str]
    devices: Mapping[str, Mapping[str, str]]
    volumes: tuple[settings.VolumeSettings, ...]
    snapshots: tuple[str, ...]
    ephemeral: bool
    target: str
    recipe: recipe.ReadRecipe | None
    publish: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabSpec:
    """A student's lab; the names are those of `settings.Settings`."""

    owner: str
    host: str
    workstation: str
    student: str
    number: int
    project: str
    bridge: str
    gateway: str
    subnet: str
    address: str
    interface: str
    profiles: tuple[str, ...]
    pool: str
    quota: Mapping[str, str]
    default: str
    login: str
    post_install: bool
    adopt: bool
    tunnel: tunnel.TunnelSpec | None
    servers: tuple[ServerSpec, ...]


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> LabSpec:
    """Read a stack's configuration into the lab that it means.

    Args:
        config: Texts by key, as the engine gives them.
        project: The Pulumi project.
        stack: The stack.
        secrets: The keys that are secret, whose values are in plain here.

    Raises:
        wire.Mistakes: Everything that is wrong with it, keys as the stack file has them.

    """
    password = f"{settings.NAMESPACE}:{settings.PASSWORD}"
    mistakes = [
        wire.Mistake(
            key.partition(":")[2], "is a secret, and would stand in plain in LXD's config."
        )
        for key in secrets
        if key in config and key != password
    ]
    plain = {key: text for key, text in config.items() if key not in secrets and key != password}
    if problem := _password_problem(config.get(password, ""), secret=password in secrets):
        mistakes.append(wire.Mistake(settings.PASSWORD, problem))
    given = settings.load(settings.Settings, plain, mistakes)
    lab = _resolve(given, f"{project}/{stack}", stack, post_install=bool(config.get(password)))
    noted = {mistake.key for mistake in mistakes}
    # What has its default only because it was wrong is not told twice.
    checked = [*_check_lab(given, lab), *_check_servers(given, lab)]
    mistakes += [mistake for mistake in checked if mistake.key not in noted]
    if mistakes:
        mistakes.sort(key=lambda mistake: mistake.key)
        prefix = settings.NAMESPACE
        named = [wire.Mistake(f"{prefix}:{item.key}", item.reason) for item in mistakes]
        raise wire.Mistakes(named)
    return lab


def _resolve(given: settings.Settings, owner: str, stack: str, *, post_install: bool) -> LabSpec:
    student, number = given.student or stack, given.number
    servers = tuple(
        ServerSpec(
            name=server.name,
            domain=server.domain or allocation.domain(server.name, student, given.domain),
            port=server.port or allocation.ssh_port(number, place),
            address=server.address or allocation.address(number, place),
            image=server.image or given.image,
            state=server.state,
            limits={**given.limits, **server.limits},
            disk=server.disk or given.disk,
            config={**given.config, **server.config},
            devices={**server.devices, **_volume_devices(server.volumes)},
            volumes=server.volumes,
            snapshots=server.snapshots,
            ephemeral=server.ephemeral,
            target=server.target,
            recipe=_read_recipe(server.recipe),
            publish=server.publish,
        )
        for place, server in enumerate(given.servers)
    )
    return LabSpec(
        owner=owner,
        host=given.host,
        workstation=given.workstation,
        student=student,
        number=number,
        project=allocation.project(student),
        bridge=allocation.bridge(number),
        gateway=allocation.gateway(number),
        subnet=allocation.subnet(number),
        address=given.address,
        interface=given.interface,
        profiles=given.profiles,
        pool=given.pool,
        quota=quota.config(given.quota),
        default=given.default,
        login=given.login or re.sub("[^a-z0-9]+", "_", student.lower()),
        post_install=post_install,
        adopt=given.adopt,
        tunnel=tunnel.meant(given.tunnel),
        servers=servers,
    )


def _check_lab(given: settings.Settings, lab: LabSpec) -> list[wire.Mistake]:
    checks: list[tuple[str, Any, str]] = [
        ("host", url.without_password(given.host), url.problem(given.host)),
        ("student", lab.student, _student_problem(lab.student)),
        ("domain", given.domain, rules.domain(given.domain)),
    ]
    if given.workstation != "none":
        shown = url.without_password(given.workstation)
        checks.append(("workstation", shown, url.problem(given.workstation, "none")))
        if given.host == given.workstation == "local:":
            problem = (
                "is the lab host itself, whose own connections pass no NAT rule. Where do students "
                "sit? Else none."
            )
            checks.append(("workstation", shown, problem))
    if not allocation.MIN_NUMBER <= given.number <= allocation.MAX_NUMBER:
        limits = f"{allocation.MIN_NUMBER} to {allocation.MAX_NUMBER}"
        wrong = "is out of range" if given.number else "is not a student's number"
        problem = f"{wrong}. {limits}, and no other student's on the host."
        checks.append(("number", given.number, problem))
    if given.address:
        checks.append(("address", given.address, rules.ipv4(given.address)))
    if given.interface:
        checks.append(("interface", given.interface, rules.interface(given.interface)))
    if not 1 <= len(given.servers) <= allocation.MAX_SERVERS:
        problem = f"servers. 1 to {allocation.MAX_SERVERS}."
        checks.append(("servers", len(given.servers), problem))
    if given.login:
        checks.append(("login", given.login, rules.login(given.login)))
    if given.default and given.default not in {server.name for server in given.servers}:
        names = ", ".join(server.name for server in given.servers)
        checks.append(("default", given.default, f"is not one of the servers: {names}."))
    if given.disk:
        checks.append(("disk", given.disk, quota.size_problem(given.disk)))
    checks.append(("pool", given.pool, rules.name(given.pool)))
    checks += quota.problems(given.quota, lab.servers)
    checks += tunnel.problems(given.tunnel, [server.name for server in given.servers])
    checks += [
        (f"{group}.{key}", value, problem)
        for group in ("config", "limits")
        for key, value in getattr(given, group).items()
        if (problem := _setting_problem(group, key, value))
    ]
    return _collect(checks)


def _check_servers(given: settings.Settings, lab: LabSpec) -> list[wire.Mistake]:
    checks: list[tuple[str, Any, str]] = []
    numbered = allocation.MIN_NUMBER <= given.number <= allocation.MAX_NUMBER
    for place, server in enumerate(lab.servers):
        where, asked = f"servers[{place}]", given.servers[place]
        checks.append((f"{where}.name", server.name, rules.name(server.name)))
        if asked.domain or not rules.name(server.name):
            problem = rules.domain(server.domain)
            if not problem and server.domain != server.domain.lower():
                problem = f'has capitals: "{server.domain.lower()}"?'
            # What follows from another mistake is not told twice.
            if asked.domain or not (rules.domain(given.domain) or _student_problem(lab.student)):
                checks.append((f"{where}.domain", server.domain, problem))
        if asked.port:
            checks.append((f"{where}.port", server.port, _port_problem(server.port)))
        if asked.address:
            inside = lab.subnet if numbered else ""
            problem = _address_problem(server.address, inside, lab.gateway)
            checks.append((f"{where}.address", server.address, problem))
        if server.state not in {"running", "stopped"}:
            checks.append((f"{where}.state", server.state, "is not a state: running or stopped."))
        checks.append((f"{where}.image", server.image, _image_problem(server.image)))
        checks += [
            (f"{where}.limits.{key}", value, problem)
            for key, value in asked.limits.items()
            if (problem := _setting_problem("limits", key, value))
        ]
        checks += _server_extras(where, asked)
    mistakes = _collect(checks)
    for field in ("name", "domain", "port", "address"):
        mistakes += _twice(field, [getattr(server, field) for server in lab.servers])
    return mistakes + _shared_volumes(lab.servers)


def _collect(checks: Iterable[tuple[str, Any, str]]) -> list[wire.Mistake]:
    return [
        wire.Mistake(key, f"{wire.show(value)} {problem}")
        for key, value, problem in checks
        if problem
    ]


def _twice(field: str, values: list[Any]) -> list[wire.Mistake]:
    return [
        wire.Mistake(
            f"servers[{place}].{field}",
            f"{wire.show(value)} is servers[{values.index(value)}]'s already.",
        )
        for place, value in enumerate(values)
        if values.index(value) != place
    ]


def _shared_volumes(servers: Iterable[ServerSpec]) -> list[wire.Mistake]:
    """Note volumes of one name in one pool: two servers would write into the same."""
    holders: dict[tuple[str, str], str] = {}
    found = []
    for place, server in enumerate(servers):
        for number, volume in enumerate(server.volumes):
            where = f"servers[{place}].volumes[{number}]"
            first = holders.setdefault((volume.pool, volume.name), where)
            if first != where:
                reason = f"{wire.show(volume.name)} is {first}'s already."
                found.append(wire.Mistake(f"{where}.name", reason))
    return found


def _student_problem(student: str) -> str:
    if len(student) > MAX_STUDENT and not rules.name(student[:MAX_STUDENT]):
        return f"has {len(student)} characters, at most {MAX_STUDENT}."
    return rules.name(student)


def _port_problem(port: int) -> str:
    if port in HOST_PORTS:
        return "is the lab host's own (ssh, http or https). From 1024 up is safe."
    return rules.port(port)


def _address_problem(address: str, subnet: str, gateway: str) -> str:
    if problem := rules.ipv4(address):
        return problem
    if subnet:
        network = ipaddress.IPv4Network(subnet)
        inside = ipaddress.IPv4Address(address)
        taken = {ipaddress.IPv4Address(gateway), network[0], network[-1]}
        if inside not in network or inside in taken:
            return f"is not free on the student's bridge {subnet}: {network[2]} to {network[-2]}."
    return ""


def _image_problem(image: str) -> str:
    if image and all(c.isalnum() or c in "._-/" for c in image) and len(image) <= 128:  # noqa: PLR2004
        return ""
    return "is not an image. An alias of letters, digits and ._-/, or a fingerprint."


def _setting_problem(group: str, key: str, value: str) -> str:
    if not all(c.isalnum() or c in "._-" for c in key) or not key.isascii():
        return f"cannot be set: its key is not one of LXD's {group}."
    if not value.isprintable():
        return "has control characters in it."
    return ""


def _read_recipe(name: str) -> recipe.ReadRecipe | None:
    """Return a server's recipe; what is wrong with it is told by the checks."""
    try:
        return recipe.read(name) if name in recipe.names() else None
    except wire.Mistakes:
        return None


def _server_extras(where: str, asked: settings.ServerSettings) -> list[tuple[str, Any, str]]:
    """Check what most servers have none of."""
    checks: list[tuple[str, Any, str]] = [
        (f"{where}.config.{key}", value, problem)
        for key, value in asked.config.items()
        if (problem := _setting_problem("config", key, value))
    ]
    checks += [
        (f"{where}.devices.{name}{part}", value, problem)
        for name, device in asked.devices.items()
        for part, value, problem in container.device_problems(name, device)
    ]
    for place, volume in enumerate(asked.volumes):
        key = f"{where}.volumes[{place}]"
        checks.append((f"{key}.name", volume.name, rules.name(volume.name)))
        checks.append((f"{key}.path", volume.path, rules.path(volume.path)))
    if asked.disk:
        checks.append((f"{where}.disk", asked.disk, quota.size_problem(asked.disk)))
    if asked.publish:
        checks.append((f"{where}.publish", asked.publish, rules.alias(asked.publish)))
    if asked.ephemeral and asked.publish:
        problem = "stops the server, and an ephemeral one is gone then."
        checks.append((f"{where}.publish", asked.publish, problem))
    if asked.recipe and asked.state != "running":
        problem = "is done in a running server."
        checks.append((f"{where}.recipe", asked.recipe, problem))
    checks += [
        (f"{where}.snapshots[{number}]", name, problem)
        for number, name in enumerate(asked.snapshots)
        if (problem := _snapshot_problem(name, asked.snapshots[:number]))
    ]
    if asked.recipe:
        checks.append((f"{where}.recipe", asked.recipe, _recipe_problem(asked.recipe)))
    return checks


def _snapshot_problem(name: str, before: tuple[str, ...]) -> str:
    return "is there twice." if name in before else rules.alias(name)


def _recipe_problem(name: str) -> str:
    known = recipe.names()
    if name not in known:
        return f"is not a recipe: {', '.join(known)}.{wire.near(name, known)}"
    try:
        recipe.read(name)
    except wire.Mistakes as found:
        return f"is not well: {found}"
    return ""


def _volume_devices(volumes: Iterable[settings.VolumeSettings]) -> dict[str, dict[str, str]]:
    return {
        volume.name: {
            "type": "disk", "pool": volume.pool, "source": volume.name, "path": volume.path,
        }
        for volume in volumes
    }  # fmt: skip


def _password_problem(value: str, *, secret: bool) -> str:
    """Return what is wrong with the password; its value is not shown."""
    if not value:
        return ""
    if not secret:
        return "is in plain. Set it so: pulumi config set --secret grappe:password"
    if not MIN_PASSWORD <= len(value) <= MAX_PASSWORD or not value.isprintable():
        return f"is not a password. {MIN_PASSWORD} to {MAX_PASSWORD} printable characters."
    return ""
