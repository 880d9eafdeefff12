"""A stack file as it is written: every setting, its type and its default.

`Pulumi.yaml` declares the same settings to the engine; a test holds the two
together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from providers import wire

NAMESPACE = "grappe"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """One server of a stack file; what is left out follows from the student's number.

    Attributes:
        name: The server's short name.
        domain: Its domain.
        port: The port of the lab host that leads to its sshd.
        address: Its address on the student's bridge.
        image: The image it starts from, instead of the stack's.
        state: `running` or `stopped`.
        limits: Its limits, over the stack's.
    """

    name: str = ""
    domain: str = ""
    port: int = 0
    address: str = ""
    image: str = ""
    state: str = "running"
    limits: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """A stack file.

    Attributes:
        host: The lab host.
        workstation: Where hosts entries and probes act, or `none`.
        student: Whose lab it is; the stack's name where it is left out.
        number: The student's number.
        image: The image the servers start from.
        servers: The servers, in their places.
        domain: The parent of the servers' domains.
        address: The address of the lab host that students dial; left out, any of its own.
        interface: The interface of the lab host that students come in by; left out, any.
        profiles: LXD profiles of every server.
        config: LXD configuration of every server.
        limits: Limits of every server.
        default: The server that gets what is for no known domain; one of a host may.
    """

    host: str = ""
    workstation: str = "local:"
    student: str = ""
    number: int = 0
    image: str = "yunohost-12"
    servers: tuple[ServerSettings, ...] = (
        ServerSettings(name="yuno1"),
        ServerSettings(name="yuno2"),
    )
    domain: str = "grappe.test"
    address: str = ""
    interface: str = ""
    profiles: tuple[str, ...] = ("default",)
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default: str = ""


def load(config: Mapping[str, str], mistakes: list[wire.Mistake]) -> Settings:
    """Read the settings of a stack from the engine's configuration.

    Args:
        config: Texts by key, as the engine gives them: `grappe:number` -> `7`.
        mistakes: Where unknown keys and values of a wrong type are added; such a setting
            then has its default, so that the rest can be looked at too.

    """
    hints = {field.name: str(field.type) for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for full, text in config.items():
        namespace, _, key = full.partition(":")
        if namespace == NAMESPACE:
            values[key] = text if hints.get(key, "str") == "str" else _parse(text)
    return wire.salvage(Settings, values, mistakes) or Settings()


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
