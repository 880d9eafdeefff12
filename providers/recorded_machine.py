"""The machine that a resource was made on, and the URL that leads there today."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from core import codec, errors
from hosts import connections
from hosts.host import Host
from remote import identity

# The output of every resource: the id of its machine.
ID = "machine_id"


def connect(spec: codec.Spec, recorded: Mapping[str, Any]) -> Host:
    """Connect to a resource's host.

    Args:
        spec: The resource's.
        recorded: Its state, with the machine's id; empty in a create or an update.

    Raises:
        errors.HostError: The host does not answer, or is another machine than the recorded one.
    """
    host = _connect(spec)
    machine = recorded.get(ID)
    if machine and machine != host.machine_id:
        raise errors.HostError(
            f"{spec.host} is another machine than the one that {spec.id} was made on",
            seen=f"machine-id {host.machine_id}, and at the last `up` {machine}",
            do=f"if the old one is gone for good: ./lab forget {identity.stack_of(spec.owner)}",
        )
    return host


def is_same(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the wanted host is the machine of the state, maybe under a new URL."""
    if recorded.get("host") == wanted.get("host"):
        return True
    machine = str(recorded.get(ID))
    return connections.is_same_machine(wanted["host"], recorded["host"], machine)


def _connect(spec: codec.Spec) -> Host:
    try:
        return connections.connect(spec.host)
    except errors.HostError as error:
        stack = identity.stack_of(spec.owner)
        configured = _configured_host(stack)
        if configured in ("", spec.host):
            raise
        raise errors.HostError(
            f"{spec.id} was made on {spec.host}, which does not answer; "
            f"the stack file now names {configured}",
            seen=str(error),
            do=f"bring {spec.host} back, or, if it is gone for good: ./lab forget {stack}",
        ) from error


def _configured_host(stack: str) -> str:
    """Return the host in the stack file: a refresh passes that of the last `up`."""
    path = pathlib.Path("stacks", f"Pulumi.{stack}.yaml")
    if not path.is_file():
        return ""
    for line in path.read_text().splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "grappe:host":
            return value.strip().strip("\"'")
    return ""
