"""The preflight of a lab: its spec, and its judgement of the host; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from checks import conflicts
from core import codec, problems
from core.names import MAX_NUMBER
from remote import haproxy_unit, identity, managed_block
from remote.surveys.facts import HostsFileFacts, LabFacts, Lxd
from remote.unmanaged import haproxy
from remote.unmanaged import nat as unmanaged_nat

BRIDGE = re.compile(r"gr-(\d+)")
# The name of a server's own network device.
NIC = "eth0"
OWN_PROFILE = (
    "One of its own: lxc profile create lab; lxc profile device add lab root disk pool=default "
    "path=/; and grappe:profiles: [lab]"
)
_REMEDIES = {
    "ufw": "apt install ufw", "iptables": "apt install iptables",
    "iptables-restore": "apt install iptables", "haproxy": "apt install haproxy",
    "ss": "apt install iproute2", "systemctl": "a host with systemd",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedServer:
    """One planned server; its fields are named as in the stack file.

    Attributes:
        image: The image that the host must have; empty where the lab itself publishes it first.
        source: The image that it starts from, published by this lab or not.
        volumes: Its volumes, as `pool/name`.
    """

    name: str
    domain: str
    port: int
    address: str
    image: str
    source: str = ""
    ephemeral: bool = False
    target: str = ""
    volumes: tuple[str, ...] = ()


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


def judge(spec: PreflightSpec, facts: LabFacts) -> list[problems.Mistake]:
    """Return everything on the host that prevents the lab.

    Args:
        spec: The lab.
        facts: The result of `remote.surveys.lab`.

    """
    mistakes = [
        *_host(spec, facts),
        *_files(spec, facts),
        *_ports(spec, facts),
        *_domains(spec, facts),
    ]
    if "error" not in facts["lxd"]:
        mistakes += [*_lxd(spec, facts["lxd"]), *_subnet(spec, facts), *_needs(spec, facts)]
        mistakes += _missing(spec, facts)
    return mistakes


def notes(spec: PreflightSpec, facts: LabFacts) -> list[str]:
    """Return what prevents nothing, but a teacher wants to know."""
    targets = {server.port: (server.address, conflicts.SSH_PORT) for server in spec.servers}
    redirected = conflicts.redirects(facts, [*targets, *conflicts.WEB_PORTS])
    return [
        *conflicts.void_denials(facts, targets),
        *conflicts.effective_denials(facts, targets),
        *(
            f"{', '.join(map(str, ports))} leads elsewhere too: {line}"
            for ports, line in redirected
        ),
        *_unowned_addresses(spec, facts),
        *(
            f"{spec.host}: {problem}. On the host: {do}"
            for problem, do in (() if _is_new(spec, facts) else conflicts.obstacles(facts))
        ),
    ]


def _is_new(spec: PreflightSpec, facts: LabFacts) -> bool:
    """Whether the host has nothing of the lab yet; a lab that is up may go on as it does."""
    projects = facts["lxd"].get("projects", ())
    return all(project["name"] != spec.project for project in projects)


def _unowned_addresses(spec: PreflightSpec, facts: LabFacts) -> Iterator[str]:
    """Yield that students dial an address that the host has not; a router may lead it there."""
    own = {str(ipaddress.IPv4Interface(entry["subnet"]).ip) for entry in facts["subnets"]}
    if spec.address and own and spec.address not in own:
        yield (
            f"grappe:address {spec.address} is on no interface of {spec.host} "
            f"({', '.join(sorted(own))}): something has to lead it there"
        )


def _host(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    key = "grappe:host"
    for program in facts["missing"]:
        reason = f"{spec.host} has no {program}. On the host: {_REMEDIES[program]}"
        yield problems.Mistake(key, reason)
    if "error" in facts["lxd"]:
        yield problems.Mistake(
            key, f"{spec.host}: {facts['lxd']['error']}. On the host: apt install lxd, lxd init"
        )
    for problem, do in conflicts.obstacles(facts) if _is_new(spec, facts) else ():
        yield problems.Mistake(key, f"{spec.host}: {problem}. On the host: {do}")
    if facts["haproxy"]:
        yield problems.Mistake(
            key,
            f"{spec.host}: haproxy.cfg is not valid, before Grappe has changed anything: "
            f"{_first_alert(facts['haproxy'])}",
        )


def _files(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    for path, text in facts["files"].items():
        try:
            managed_block.split(text or "")
        except managed_block.DamagedError as error:
            yield problems.Mistake(
                "grappe:host",
                f"the managed part of {path} is damaged: {error}. Put its first and last line "
                "back, or remove the rest of it by hand",
            )
            continue
        if path.endswith("haproxy.cfg") and spec.adopt:
            strays = haproxy.domains(text or "") - {server.domain for server in spec.servers}
            if strays:
                yield problems.Mistake(
                    "grappe:adopt",
                    f"{path} routes {', '.join(sorted(strays))} by hand, which no server of the "
                    "lab has. Give a server that domain, or take it out of the file",
                )
            for line in haproxy.unaccounted(text or ""):
                yield problems.Mistake(
                    "grappe:adopt",
                    f"{path} has more in its routing by hand than Grappe takes over: {line}. It "
                    "would go with the rest: take it out of the file, or give it a port of its own",
                )
        elif path.endswith("before.rules") and spec.adopt:
            ports = {f"tcp/{server.port}" for server in spec.servers}
            for line in (text or "").splitlines():
                if unmanaged_nat.key(line) in ports and unmanaged_nat.is_more(line):
                    yield problems.Mistake(
                        "grappe:adopt",
                        f"{path} says more of a port than Grappe takes over: {line.strip()}. It "
                        "would go: take it out of the file, or say it by `ufw route`",
                    )


def _ports(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    holders, own = _holders(spec, facts), _own(spec, facts)
    listening = {entry["port"]: entry["program"] for entry in facts["listening"]}
    for index, server in enumerate(spec.servers):
        key = f"grappe:servers[{index}].port"
        if holder := holders.get(f"tcp/{server.port}"):
            yield problems.Mistake(key, f"{server.port} is {holder}.")
        elif (mine := own.get(f"tcp/{server.port}", server.name)) != server.name:
            yield problems.Mistake(key, _still_held(server.port, mine, server.name))
        elif server.port in listening:
            reason = f"{server.port} is in use on the host, by {listening[server.port]}."
            yield problems.Mistake(key, reason)
    for seen in conflicts.listeners(facts):
        if not (spec.adopt and seen.startswith(haproxy_unit.CONFIG)):
            yield problems.Mistake("grappe:host", f"somebody else has what HAProxy needs: {seen}.")
    yield from _redirects(spec, facts, own)


def _redirects(
    spec: PreflightSpec, facts: LabFacts, own: Mapping[str, str]
) -> Iterator[problems.Mistake]:
    """Refuse ports that a loaded NAT rule leads elsewhere; `adopt` takes over the sheet's rules."""
    places = {server.port: index for index, server in enumerate(spec.servers)}
    # A rule that came after the lab was up is only a note, and a finding of doctor's.
    new = [port for port in places if f"tcp/{port}" not in own]
    web = conflicts.WEB_PORTS if len(new) == len(places) else ()
    for ports, line in conflicts.redirects(facts, [*new, *web]):
        if spec.adopt and unmanaged_nat.key(line) in {f"tcp/{port}" for port in ports}:
            continue
        first = next((port for port in ports if port in places), None)
        key = "grappe:host" if first is None else f"grappe:servers[{places[first]}].port"
        listed = ", ".join(map(str, ports))
        yield problems.Mistake(key, f"{listed} leads elsewhere on the host already: {line}.")


def _domains(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    holders, own = _holders(spec, facts), _own(spec, facts)
    for index, server in enumerate(spec.servers):
        if (mine := own.get(f"domain {server.domain}", server.name)) != server.name:
            key = f"grappe:servers[{index}].domain"
            yield problems.Mistake(key, _still_held(server.domain, mine, server.name))
        key = f"grappe:servers[{index}].domain"
        if holder := holders.get(f"domain {server.domain}"):
            yield problems.Mistake(key, f'"{server.domain}" is {holder}.')
        if f"domain {server.domain}" in own:
            # The lab already had this domain before, so it keeps it.
            continue
        parent = server.domain.partition(".")[2]
        for other, holder in holders.items():
            word, _space, name = other.partition(" ")
            if word == "domain" and (name == parent or name.partition(".")[2] == server.domain):
                yield problems.Mistake(
                    key,
                    f'"{server.domain}" and "{name}" are a domain and its sub-domain, and "{name}" '
                    f"is {holder}. A sub-domain goes where its parent does: choose another.",
                )
    if spec.default and (holder := holders.get("the default backend")):
        yield problems.Mistake("grappe:default", f"the host's default server is {holder}.")


def _lxd(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    networks = {network["name"]: network for network in lxd["networks"]}
    projects = {project["name"]: project for project in lxd["projects"]}
    if (bridge := networks.get(spec.bridge)) and not _is_ours(spec, bridge):
        yield problems.Mistake(
            "grappe:number",
            f"{spec.number} is {_whose(spec, bridge)}, on {spec.host}. Free: {free_numbers(lxd)}."
            f"{_rename_remedy(spec, bridge)}",
        )
    if (project := projects.get(spec.project)) and not _is_ours(spec, project):
        yield problems.Mistake(
            "grappe:student", f'"{spec.student}" is {_whose(spec, project)}: the LXD project '
            f"{spec.project} exists on {spec.host}.",
        )  # fmt: skip
    yield from _renamed(spec, lxd)
    for index, server in enumerate(spec.servers):
        known = (
            not server.image
            or server.image in lxd["aliases"]
            or any(fingerprint.startswith(server.image) for fingerprint in lxd["images"])
        )
        if not known:
            aliases = ", ".join(sorted(lxd["aliases"])) or "none"
            yield problems.Mistake(
                f"grappe:servers[{index}].image",
                f'"{server.image}" is not an image of the host. Its aliases: {aliases}.',
            )
    if spec.project not in projects:
        for profile, problem in conflicts.profiles(lxd, spec.profiles, NIC):
            yield problems.Mistake(
                "grappe:profiles", f'"{profile}" cannot be taken: {problem}. {OWN_PROFILE}'
            )
    for profile in spec.profiles:
        if profile not in lxd["profiles"]:
            own = ", ".join(sorted(lxd["profiles"]))
            yield problems.Mistake(
                "grappe:profiles", f'"{profile}" is not a profile of the host. Its own: {own}.'
            )


def _renamed(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    """Refuse a lab whose resources exist under another student's name."""
    for project in lxd["projects"]:
        held = identity.held_in_config(project["config"])
        student = project["name"].removeprefix("grappe-")
        if spec.lab and held["lab"] == spec.lab and student != spec.student:
            yield problems.Mistake(
                "grappe:student",
                f'is missing: this lab is up as "{student}", and goes on when the stack file says '
                f"grappe:student: {student}. If the stack file is a copy of that lab's, take "
                "grappe:id out of it instead.",
            )


def _subnet(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    wanted = ipaddress.IPv4Network(spec.subnet)
    for entry in facts["subnets"]:
        network = ipaddress.IPv4Interface(entry["subnet"]).network
        if entry["interface"] != spec.bridge and network.overlaps(wanted):
            yield problems.Mistake(
                "grappe:number",
                f"{spec.number} means {spec.subnet}, which the host has on {entry['interface']}.",
            )
    for line in conflicts.routes(facts, spec.subnet, spec.bridge):
        yield problems.Mistake(
            "grappe:number",
            f"{spec.number} means {spec.subnet}, which the host leads elsewhere: {line}. Choose "
            f"another number, or on the host: {conflicts.removal_command(line)}",
        )


def _missing(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse what the stack file names and the host has not."""
    lxd = facts["lxd"]
    pools, members = lxd.get("pools", []), lxd.get("members", [])
    for key, pool in spec.pools if "pools" in lxd else ():
        if pool not in pools:
            known = ", ".join(sorted(pools)) or "none"
            yield problems.Mistake(key, f'"{pool}" is not a pool of the host. Its own: {known}.')
    interfaces = sorted({entry["interface"] for entry in facts["subnets"]})
    if spec.interface and spec.interface not in interfaces:
        yield problems.Mistake(
            "grappe:interface",
            f'"{spec.interface}" is no interface of the host with an IPv4 address. Its own: '
            f"{', '.join(interfaces)}.",
        )
    for index, server in enumerate(spec.servers):
        if server.target and server.target not in members:
            known = ", ".join(members)
            have = (
                f"Its members: {known}." if known else "The host's LXD is no cluster: leave it out."
            )
            yield problems.Mistake(
                f"grappe:servers[{index}].target", f'"{server.target}" is no member. {have}'
            )
    absent = facts.get("absent", ())
    for key, path in spec.paths:
        if path in absent:
            yield problems.Mistake(key, f'"{path}" is not there on {spec.host}.')


def _needs(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    if any(project["name"] == spec.project for project in facts["lxd"]["projects"]):
        # An existing lab has run its steps already.
        return
    for step, url in spec.needs:
        if problem := facts["reached"].get(url, ""):
            yield problems.Mistake(
                "grappe:servers",
                f"a recipe's step {step} needs {url}, which {spec.host} does not reach: {problem}.",
            )


def judge_relay(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Yield everything on the relay that prevents the tunnel; `facts` is the relay's survey."""
    holders, own = _holders(spec, facts), _own(spec, facts)
    listening = {entry["port"]: entry["program"] for entry in facts["listening"]}
    for index, port in enumerate(spec.listens):
        setting, key = f"grappe:tunnel.forwards[{index}].listen", f"port {port} of the relay"
        if holder := holders.get(key):
            yield problems.Mistake(setting, f"{port} of the relay is {holder}.")
        elif port in listening and key not in own:
            reason = f"{port} is in use on the relay, by {listening[port]}."
            yield problems.Mistake(setting, reason)
        if port < facts["unprivileged"]:
            yield problems.Mistake(
                setting,
                f"{port} is root's alone on the relay, and a tunnel is not root's: from "
                f"{facts['unprivileged']} on; or there: sysctl -w "
                f"net.ipv4.ip_unprivileged_port_start={port}",
            )


def judge_workstation(
    spec: PreflightSpec, facts: HostsFileFacts, address: str
) -> Iterator[problems.Mistake]:
    """Yield what is in the way of the lab's hosts entries.

    Args:
        spec: The lab.
        facts: What `surveys.hosts_file` returned.
        address: The address that students dial.

    """
    for path, (reason, do) in facts["fixed"].items():
        yield problems.Mistake("grappe:workstation", f"{path} {reason}. There: {do}")
    for line in conflicts.other_addresses(facts, address):
        yield problems.Mistake(
            "grappe:workstation",
            f"the hosts file of {spec.workstation} leads a domain of the lab elsewhere than to "
            f"{address}; {line}. Take the domain out of that line",
        )


def free_numbers(lxd: Lxd) -> str:
    """Return the numbers that no bridge of the host holds, as ranges."""
    taken = {
        int(match.group(1))
        for network in lxd["networks"]
        if (match := BRIDGE.fullmatch(network["name"]))
    }
    ranges, start = [], None
    for number in range(1, MAX_NUMBER + 2):
        free = number <= MAX_NUMBER and number not in taken
        if free and start is None:
            start = number
        elif not free and start is not None:
            ranges.append(f"{start}" if start == number - 1 else f"{start} to {number - 1}")
            start = None
    return ", ".join(ranges[:3])


def _holders(spec: PreflightSpec, facts: LabFacts) -> dict[str, str]:
    """Return the owners of the keys that other labs hold."""
    return {
        key: _whose(spec, fragment)
        for fragment in facts["fragments"]
        if not _is_ours(spec, fragment)
        for key in fragment["keys"]
    }


def _own(spec: PreflightSpec, facts: LabFacts) -> dict[str, str]:
    """Return the keys that this lab holds now, each with its server."""
    return {
        key: fragment["id"].rpartition("/")[2].removesuffix("_ssh")
        for fragment in facts["fragments"]
        if _is_ours(spec, fragment)
        for key in fragment["keys"]
    }


def _still_held(value: object, holder: str, server: str) -> str:
    return (
        f"{problems.show(value)} still belongs to {holder}. Set port, address and domain of "
        f"{server}, or remove {holder} in a run of its own first."
    )


def _marks(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the marks of an LXD object or of a fragment."""
    return identity.held_in_config(thing["config"]) if "config" in thing else thing


def _is_ours(spec: PreflightSpec, thing: Mapping[str, Any]) -> bool:
    return identity.belongs(_marks(thing), spec.owner, spec.lab)


def _whose(spec: PreflightSpec, thing: Mapping[str, Any]) -> str:
    held = _marks(thing)
    owner = held.get("owner") or ""
    if not owner:
        return "taken by something that Grappe did not make"
    stack = owner.rpartition("/")[2]
    if owner == spec.owner:
        return f"another {stack}'s, of another folder or state"
    return f"{stack}'s (stack {owner})"


def _rename_remedy(spec: PreflightSpec, bridge: Mapping[str, Any]) -> str:
    """Return the remedy where the holder may be this same lab, renamed before labs had ids."""
    held = _marks(bridge)
    if held.get("lab") and held["owner"] == spec.owner:
        return f" Then {identity.way_out(held, spec.owner)}"
    project, _slash, stack = (held.get("owner") or "").rpartition("/")
    now = spec.owner.rpartition("/")[2]
    if held.get("lab") or not stack or stack == now or project != spec.owner.rpartition("/")[0]:
        return ""
    return f" If this stack was renamed from {stack}: ./lab rename {stack} {now}"


def _first_alert(text: str) -> str:
    lines = [line for line in text.splitlines() if "[ALERT]" in line] or text.splitlines()
    return re.sub(r"^\[\w+\]\s*(\(\d+\))?\s*:\s*", "", lines[0]) if lines else text
