"""What a NAT rule is, and how it stands in before.rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core import codec, problems, templates, validators
from providers.fragments.fragment import Fragment
from remote.iptables import BRIDGES

PROTOCOLS = ("tcp", "udp")
# What HAProxy listens on, let through UFW with the rest.
WEB_PORTS = (80, 443)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleSpec(codec.Spec):
    """A NAT rule, as the sheet writes it.

    Attributes:
        address: The address of the lab host that is dialled; empty for any of its own.
        interface: The interface it is dialled on; empty for any but the students' bridges.
        protocol: `tcp` or `udp`.
        port: The port that is dialled.
        target_address: The server's address.
        target_port: The server's port.
        comment: What `iptables -t nat -L` shows beside it.
        adopt: Whether rules by hand for the same port, as the sheet has them, are taken over.
        bridge: The bridge that the server is on, whose servers may reach each other.
    """

    port: int
    target_address: str
    target_port: int
    comment: str
    protocol: str = "tcp"
    address: str = ""
    interface: str = ""
    adopt: bool = False
    bridge: str = ""

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values."""
        checks: list[tuple[str, Any, str]] = [
            ("name", self.name, validators.problem_of_comment(self.name)),
            ("port", self.port, validators.problem_of_port(self.port)),
            ("target_port", self.target_port, validators.problem_of_port(self.target_port)),
            ("comment", self.comment, validators.problem_of_comment(self.comment)),
        ]
        if not self.target_address:
            problem = "is empty. A rule without a target would lead to the lab host itself."
            checks.append(("target_address", "", problem))
        else:
            checks.append(
                (
                    "target_address",
                    self.target_address,
                    validators.problem_of_ipv4(self.target_address),
                )
            )
        if self.protocol not in PROTOCOLS:
            problem = f"is not a protocol: {' or '.join(PROTOCOLS)}."
            checks.append(("protocol", self.protocol, problem))
        if self.address:
            checks.append(("address", self.address, validators.problem_of_ipv4(self.address)))
        if self.bridge:
            checks.append(("bridge", self.bridge, validators.problem_of_interface(self.bridge)))
        if self.interface:
            checks.append(
                ("interface", self.interface, validators.problem_of_interface(self.interface))
            )
        return problems.collect(checks)


def fragment(spec: RuleSpec) -> Fragment:
    """Return what a rule contributes.

    Its line is written as `iptables -S` prints it, so that what is loaded can
    be compared with what was meant.
    """
    line = templates.render(__file__, "rule.j2", rule=spec, bridges=BRIDGES).strip()
    # Rules for different addresses or interfaces may share a port; the sheet's
    # students do not, so a port is held by one rule alone.
    return Fragment(
        id=spec.id,
        owner=spec.owner,
        lab=spec.lab,
        keys=(f"{spec.protocol}/{spec.port}",),
        spec=codec.encode(spec),
        parts={
            "rule": line,
            "target": f"{spec.target_address}:{spec.target_port}",
            "adopt": spec.adopt,
            "bridge": spec.bridge,
        },
    )


def frame() -> Mapping[str, Any]:
    """Return what surrounds the rules: the filter rules without which they lead nowhere."""
    text = templates.render(__file__, "filter.j2", bridges=BRIDGES, web_ports=WEB_PORTS)
    return {"filter": text.splitlines()}
