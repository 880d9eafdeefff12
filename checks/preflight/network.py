"""The network and the addresses of a lab, against the host's; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from checks import conflicts, routing
from checks.preflight.spec import PreflightSpec
from core import problems
from remote.surveys.facts import LabFacts


def subnet(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse a number whose subnet is on another interface, or is routed elsewhere."""
    wanted = ipaddress.IPv4Network(spec.subnet)
    for entry in facts["subnets"]:
        network = ipaddress.IPv4Interface(entry["subnet"]).network
        if entry["interface"] != spec.bridge and network.overlaps(wanted):
            yield problems.Mistake(
                "grappe:number",
                f"{spec.number} means {spec.subnet}, which the host has on {entry['interface']}.",
            )
    for line in routing.covering(facts, spec.subnet, spec.bridge):
        yield problems.Mistake(
            "grappe:number",
            f"{spec.number} means {spec.subnet}, which the host routes elsewhere: {line}. Choose "
            f"another number, or on the host: {routing.removal_command(line)}",
        )


def namesakes(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse a host with an interface that the rules for labs' bridges would shut off."""
    for name in conflicts.namesakes(facts):
        reason = f"{name} on {spec.host} is not Grappe's, and its rules for labs, gr-*, would shut "
        yield problems.Mistake("grappe:host", f"{reason}it off: give it another name.")


def interface(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse an interface that the host does not have."""
    known = sorted({entry["interface"] for entry in facts["subnets"]})
    if spec.interface and spec.interface not in known:
        yield problems.Mistake(
            "grappe:interface",
            f'"{spec.interface}" is not an interface of the host with an IPv4 address. Its own: '
            f"{', '.join(known)}.",
        )


def unowned_address(spec: PreflightSpec, facts: LabFacts) -> Iterator[str]:
    """Yield a note if students dial an address that the host lacks: a router may lead it there."""
    own = {str(ipaddress.IPv4Interface(entry["subnet"]).ip) for entry in facts["subnets"]}
    if spec.address and own and spec.address not in own:
        yield (
            f"grappe:address {spec.address} is on no interface of {spec.host} "
            f"({', '.join(sorted(own))}): a router must forward it there"
        )
