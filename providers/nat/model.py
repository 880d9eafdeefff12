"""The spec of a NAT rule, and its line in before.rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core import codec, problems, templates, validators
from core.names import WEB_PORTS
from providers.fragments.fragment import Fragment, render
from remote.iptables import BRIDGES

PROTOCOLS = ("tcp", "udp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleSpec(codec.Spec):
    """A NAT rule, as the sheet writes it.

    Attributes:
        address: The lab host's address to match; empty for any of its own.
        interface: The interface to match; empty for any but the students' bridges.
        protocol: `tcp` or `udp`.
        port: The lab host's port.
        target_address: The server's address.
        target_port: The server's port.
        comment: Its comment in `iptables -t nat -L`.
        adopt: Whether it takes over the sheet's rules by hand for the same port.
        bridge: The server's bridge, whose servers may reach each other.
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

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_comment(self.name)
        yield "port", self.port, validators.problem_of_port(self.port)
        yield "target_port", self.target_port, validators.problem_of_port(self.target_port)
        yield "comment", self.comment, validators.problem_of_comment(self.comment)
        yield "target_address", self.target_address, _target_problem(self.target_address)
        if self.protocol not in PROTOCOLS:
            yield "protocol", self.protocol, f"is not a protocol: {' or '.join(PROTOCOLS)}."
        if self.address:
            yield "address", self.address, validators.problem_of_ipv4(self.address)
        if self.bridge:
            yield "bridge", self.bridge, validators.problem_of_interface(self.bridge)
        if self.interface:
            yield "interface", self.interface, validators.problem_of_interface(self.interface)


def _target_problem(address: str) -> str:
    if not address:
        return "is empty. A rule without a target would lead to the lab host itself."
    return validators.problem_of_ipv4(address)


def fragment(spec: RuleSpec) -> Fragment:
    """Return a rule's fragment.

    Its line has the form of `iptables -S`, so that Grappe can compare the
    loaded rules with the wanted ones.
    """
    line = templates.render(__file__, "rule.j2", rule=spec, bridges=BRIDGES).strip()
    # Rules for different addresses or interfaces could share a port; the sheet's
    # students do not, so only one rule may hold a port.
    parts = {
        "rule": line,
        "target": f"{spec.target_address}:{spec.target_port}",
        "adopt": spec.adopt,
        "bridge": spec.bridge,
    }
    return render(spec, [f"{spec.protocol}/{spec.port}"], parts)


def shared_sections() -> Mapping[str, Any]:
    """Return the filter rules that all NAT rules need to take effect."""
    text = templates.render(__file__, "isolation.j2", bridges=BRIDGES, web_ports=WEB_PORTS)
    return {"filter": text.splitlines()}
