"""The host's programs, daemons and files, as a lab needs them; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks import conflicts
from checks.preflight.spec import PreflightSpec
from core import problems
from remote import iptables, managed_block
from remote.names import GPU, SHIFT
from remote.surveys.facts import LabFacts
from remote.unmanaged import haproxy
from remote.unmanaged import nat as unmanaged_nat

# Interfaces that only some people come by: VPNs, and bridges of the host's own.
_PRIVATE_NETWORKS = ("wg", "tun", "tap", "tailscale", "zt", "ppp", "docker", "br-", "virbr", "lxd",
                     "lo")  # fmt: skip
_REMEDIES = {
    "ufw": "apt install ufw", "iptables": "apt install iptables",
    "iptables-restore": "apt install iptables", "haproxy": "apt install haproxy",
    "ss": "apt install iproute2", "systemctl": "a host with systemd",
}  # fmt: skip


def programs(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse a host that lacks a program, LXD, or a valid configuration of HAProxy."""
    key = "grappe:host"
    for program in facts["missing"]:
        reason = f"{spec.host} has no {program}. On the host: {_REMEDIES[program]}"
        yield problems.Mistake(key, reason)
    if "error" in facts["lxd"]:
        error = facts["lxd"]["error"]
        silent = "does not answer" in error
        do = "systemctl status lxd, journalctl -u lxd" if silent else "apt install lxd, lxd init"
        yield problems.Mistake(key, f"{spec.host}: {error}. On the host: {do}")
    for problem, do in conflicts.obstacles(facts) if is_new(spec, facts) else ():
        yield problems.Mistake(key, f"{spec.host}: {problem}. On the host: {do}")
    if facts["haproxy"]:
        yield problems.Mistake(
            key,
            f"{spec.host}: haproxy.cfg is not valid, before Grappe has changed anything: "
            f"{_first_alert(facts['haproxy'])}",
        )


def files(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse shared files that Grappe's part does not fit in, or that hold too much to adopt."""
    for path, text in facts["files"].items():
        if problem := _damage(text or ""):
            yield problems.Mistake(
                "grappe:host",
                f"the managed part of {path} is damaged: {problem}. Put its first and last line "
                "back, or remove the rest of it by hand",
            )
        elif path.endswith("haproxy.cfg") and spec.adopt:
            yield from _unadoptable_routing(spec, path, text or "")
        elif path.endswith("before.rules") and spec.adopt:
            yield from _unadoptable_rules(spec, path, text or "")


def _damage(text: str) -> str:
    try:
        managed_block.split(text)
    except managed_block.DamagedError as error:
        return str(error)
    return ""


def _unadoptable_routing(spec: PreflightSpec, path: str, text: str) -> Iterator[problems.Mistake]:
    strays = haproxy.domains(text) - {server.domain for server in spec.servers}
    if strays:
        yield problems.Mistake(
            "grappe:adopt",
            f"{path} routes {', '.join(sorted(strays))} by hand, which no server of the lab has. "
            "Give a server that domain, or take it out of the file",
        )
    for line in haproxy.unaccounted(text):
        yield problems.Mistake(
            "grappe:adopt",
            f"{path} has more in its routing by hand than Grappe takes over: {line}. It would be "
            "removed with the rest: take it out of the file, or give it a port of its own",
        )


def _unadoptable_rules(spec: PreflightSpec, path: str, text: str) -> Iterator[problems.Mistake]:
    ports = {f"tcp/{server.port}" for server in spec.servers}
    for line in text.splitlines():
        if unmanaged_nat.key(line) in ports and unmanaged_nat.has_more_conditions(line):
            yield problems.Mistake(
                "grappe:adopt",
                f"{path} has a rule with more conditions than Grappe takes over: {line.strip()}. "
                "It would be removed: take it out of the file, or write it as a `ufw route` rule",
            )
    # Grappe's rule lets in who comes by `grappe:interface`, or by any interface without it.
    for line in text.splitlines() if not spec.interface else ():
        by = iptables.conditions(line.strip()).get("-i")
        inner = by and by.value.startswith(_PRIVATE_NETWORKS) and not by.negated
        if by and inner and unmanaged_nat.key(line) in ports:
            yield problems.Mistake(
                "grappe:adopt",
                f"{path} has a rule for {by.value} alone: {line.strip()}. Grappe's lets in who "
                f"comes by any interface; for this one alone: grappe:interface: {by.value}",
            )


def needs(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse a recipe whose URLs the host does not reach."""
    if not is_new(spec, facts):
        # An existing lab has run its steps already.
        return
    for step, url in spec.needs:
        if problem := facts["reached"].get(url, ""):
            yield problems.Mistake(
                "grappe:servers",
                f"a recipe's step {step} needs {url}, which {spec.host} does not reach: {problem}.",
            )


def absent(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse what servers' devices and settings want of a host that lacks it."""
    listed = facts.get("absent", ())
    for key, path in spec.paths:
        if path in listed:
            yield problems.Mistake(key, f'"{path}" does not exist on {spec.host}.')
    for key, name in spec.modules:
        if name in listed:
            reason = f'the kernel of {spec.host} has no module "{name}": modprobe {name} fails.'
            yield problems.Mistake(key, reason)
    for key, address in spec.addresses:
        if address in listed:
            reason = f'"{address}" is no address of {spec.host}: "0.0.0.0" is all of them.'
            yield problems.Mistake(key, reason)
    for key, ability in spec.abilities:
        if ability in listed:
            yield problems.Mistake(key, _lacking(ability, spec.host))


def _lacking(ability: str, host: str) -> str:
    """Return why a host cannot do what a device or a setting wants, with the way out."""
    if ability == GPU:
        return f"wants a GPU, and {host} has none. Remove the device."
    if ability == SHIFT:
        return f"needs a kernel that shifts ids of mounts, and that of {host} does not. Remove it."
    kind, _space, ids = ability.partition(" ")
    first, _dash, last = ids.partition("-")
    line = f"root:{first}:{int(last) - int(first) + 1}"
    return (
        f"maps {kind} {ids}, which {host} does not lend to servers. On the host: echo {line} >> "
        f"/etc/sub{kind}; systemctl restart lxd"
    )


def is_new(spec: PreflightSpec, facts: LabFacts) -> bool:
    """Whether the host has no LXD project of the lab yet; obstacles stop only a new lab."""
    projects = facts["lxd"].get("projects", ())
    return all(project["name"] != spec.project for project in projects)


def _first_alert(text: str) -> str:
    lines = [line for line in text.splitlines() if "[ALERT]" in line] or text.splitlines()
    return re.sub(r"^\[\w+\]\s*(\(\d+\))?\s*:\s*", "", lines[0]) if lines else text
