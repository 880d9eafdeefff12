"""Conflicts between the stack files of one folder; pure."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from core import problems
from hosts import url
from stacks import allocation, settings
from stacks.tunnel import FORWARDS

# The key of the file that has a number, where that is no stack file.
WRITTEN_IN = "written in"
# The port of a host URL that names none.
SSH_PORT = 22


def conflicts(
    name: str, config: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> list[problems.Mistake]:
    """Return the settings of a stack file that conflict with another of its folder.

    Args:
        name: The stack.
        config: Its settings by key without the namespace, as its file has them.
        others: The same of the other stack files, by stack.
    """
    free = free_number(str(config.get("host")), others)
    return [
        item
        for other in sorted(others)
        for item in _against(name, config, other, others[other], free)
    ]


def _against(
    name: str, config: Mapping[str, Any], other: str, theirs: Mapping[str, Any], free: int
) -> Iterator[problems.Mistake]:
    if config.get("id") and config["id"] == theirs.get("id"):
        reason = f"{problems.show(config['id'])} is {other}'s too: each lab has its own. Remove it."
        yield problems.Mistake(f"{settings.NAMESPACE}:id", reason)
    same_host = machine(config.get("host")) == machine(theirs.get("host"))
    same_kind = (config.get("kind") or "student") == (theirs.get("kind") or "student")
    if not same_host or not same_kind:
        return
    number = _text(config.get("number"))
    if number and number == _text(theirs.get("number")):
        written = theirs.get(WRITTEN_IN, f"stacks/Pulumi.{other}.yaml")
        reason = f"{number} is {other}'s, by {written}. Free: {free}, and others."
        yield problems.Mistake(f"{settings.NAMESPACE}:number", reason)
    if (config.get("kind") or "student") != "student":
        return
    student = config.get("student") or name
    # Domains know no capitals: Bob and bob would have the same ones.
    if str(student).casefold() == str(theirs.get("student") or other).casefold():
        written = theirs.get(WRITTEN_IN, f"stacks/Pulumi.{other}.yaml")
        reason = f"{problems.show(student)} is {other}'s, by {written}."
        yield problems.Mistake(f"{settings.NAMESPACE}:student", reason)


@dataclasses.dataclass(frozen=True)
class Claim:
    """Names a port, a domain or the like that only one stack may have.

    Attributes:
        what: `port`, `domain`, `default` or `relay`; of an image `builder` or `alias`.
        machine: The machine that has it.
        value: The port, or the domain.
    """

    what: str
    machine: object
    value: object = ""

    def __str__(self) -> str:
        """Return it as people name it."""
        words = {
            "default": "default for unknown domains", "relay": f"relay port {self.value}",
            "builder": f"builder's number {self.value}",
        }  # fmt: skip
        return f"the {words.get(self.what, f'{self.what} {self.value}')}"


# By claim: whose it is, and whether the stack file says so itself.
Held = dict[Claim, tuple[str, bool]]


def claimed(configs: Mapping[str, Mapping[str, Any]]) -> Held:
    """Return what stack files claim; of several that claim one thing, the first."""
    held: Held = {}
    for name, config in configs.items():
        for claim, _key, written in _claims(name, config):
            held.setdefault(claim, (name, written))
    return held


def claims_of_others(name: str, config: Mapping[str, Any], held: Held) -> list[problems.Mistake]:
    """Return the ports and domains of a new stack file that another of its folder has.

    What both derive from one number or one student is `conflicts`' to report.
    """
    found = []
    for claim, key, written in _claims(name, config):
        other, theirs = held.get(claim, (name, False))
        if other != name and (written or theirs):
            reason = f"{claim} is {other}'s, by stacks/Pulumi.{other}.yaml."
            reason += " Choose one: --alias." if claim.what == "alias" else ""
            found.append(problems.Mistake(f"{settings.NAMESPACE}:{key}", reason))
    return found


def _claims(name: str, config: Mapping[str, Any]) -> Iterator[tuple[Claim, str, bool]]:
    """Yield what a stack file claims: the claim, its key, and whether it is written."""
    number, host = config.get("number"), machine(config.get("host"))
    servers = config.get("servers") or settings.written(settings.Settings().servers)
    if config.get("kind") == "image":
        yield from _claims_of_image(config)
    if (config.get("kind") or "student") != "student" or not isinstance(servers, list):
        return
    student = str(config.get("student") or name)
    parent = str(config.get("domain") or settings.Settings().domain)
    for index, server in enumerate(servers):
        if not isinstance(server, dict):
            continue
        key = f"servers[{index}]"
        port = server.get("port") or (
            allocation.ssh_port(number, index) if isinstance(number, int) else None
        )
        if isinstance(port, int):
            yield Claim("port", host, port), f"{key}.port", bool(server.get("port"))
        domain = server.get("domain") or allocation.domain(
            str(server.get("name") or ""), student, parent
        )
        names = server.get("names") if isinstance(server.get("names"), list) else []
        for each in ("", *(f"{label}." for label in names or ())):
            full = f"{each}{domain}".lower()
            yield Claim("domain", host, full), f"{key}.domain", bool(server.get("domain"))
    if config.get("default"):
        yield Claim("default", host), "default", True
    yield from _claims_of_tunnel(config.get("tunnel"))


def _claims_of_tunnel(tunnel: object) -> Iterator[tuple[Claim, str, bool]]:
    if not isinstance(tunnel, dict) or not tunnel.get("relay"):
        return
    forwards = tunnel.get("forwards")
    default = [{"listen": each.listen} for each in FORWARDS]
    for index, forward in enumerate(forwards if isinstance(forwards, list) else default):
        if isinstance(forward, dict) and isinstance(forward.get("listen"), int):
            claim = Claim("relay", machine(tunnel["relay"]), forward.get("listen"))
            yield claim, f"tunnel.forwards[{index}].listen", True


def _claims_of_image(config: Mapping[str, Any]) -> Iterator[tuple[Claim, str, bool]]:
    host, number = machine(config.get("host")), config.get("number") or 1
    if isinstance(number, int):
        # `conflicts` reports two written ones.
        yield Claim("builder", host, number), "number", not config.get("number")
    alias = config.get("alias") or f"of the recipe {config.get('recipe')}"
    if isinstance(alias, str):
        yield Claim("alias", host, alias), "alias", True


def relay_ports(configs: Mapping[str, Mapping[str, Any]]) -> set[tuple[object, object]]:
    """Return the ports of relays that stack files have, each with its relay."""
    held = claimed(configs)
    return {(claim.machine, claim.value) for claim in held if claim.what == "relay"}


def free_number(host: str, others: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the first number that no stack file of the folder has on a host."""
    return next(free_numbers(host, others))


def free_numbers(
    host: str, others: Mapping[str, Mapping[str, Any]], kind: str = "student"
) -> Iterator[int]:
    """Yield the numbers that no stack file of a kind has on a host, from the first on."""
    taken = {
        _text(theirs.get("number") or (1 if kind == "image" else None))
        for theirs in others.values()
        if machine(theirs.get("host")) == machine(host)
        and (theirs.get("kind") or "student") == kind
    }
    return (number for number in itertools.count(1) if str(number) not in taken)


def machine(host: object) -> object:
    """Return a host URL's machine, whatever the login."""
    return _parsed(str(host))


@functools.cache
def _parsed(host: str) -> object:
    try:
        host_url = url.parse(host)
    except ValueError:
        return host
    return (host_url.scheme, host_url.name.lower(), host_url.port or SSH_PORT)


def _text(value: object) -> str:
    return "" if value in (None, 0, "0", "") else str(value)
