"""Conflicts between the stack files of one folder; pure."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from core import problems
from hosts import url
from stacks import settings

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
    same_host = _machine(config.get("host")) == _machine(theirs.get("host"))
    same_kind = (config.get("kind") or "student") == (theirs.get("kind") or "student")
    if not same_host or not same_kind:
        return
    number = _text(config.get("number"))
    if number and number == _text(theirs.get("number")):
        reason = f"{number} is {other}'s, by stacks/Pulumi.{other}.yaml. Free: {free}, and others."
        yield problems.Mistake(f"{settings.NAMESPACE}:number", reason)
    if (config.get("kind") or "student") != "student":
        return
    student = config.get("student") or name
    # Domains know no capitals: Bob and bob would have the same ones.
    if str(student).casefold() == str(theirs.get("student") or other).casefold():
        reason = f"{problems.show(student)} is {other}'s, by stacks/Pulumi.{other}.yaml."
        yield problems.Mistake(f"{settings.NAMESPACE}:student", reason)


def free_number(host: str, others: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the first number that no stack file of the folder has on a host."""
    return next(free_numbers(host, others))


def free_numbers(host: str, others: Mapping[str, Mapping[str, Any]]) -> Iterator[int]:
    """Yield the numbers that no stack file of the folder has on a host, from the first on."""
    taken = {
        _text(theirs.get("number"))
        for theirs in others.values()
        if _machine(theirs.get("host")) == _machine(host)
        and (theirs.get("kind") or "student") == "student"
    }
    return (number for number in itertools.count(1) if str(number) not in taken)


def _machine(host: object) -> object:
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
