"""The topology of a lab: which port and which domain leads to which server; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from core import templates
from stacks.spec import LabSpec

NAT, HTTP, HTTPS = "UFW / NAT", "HAProxy by Host", "HAProxy by SNI"


@dataclasses.dataclass(frozen=True)
class Way:
    """One way from outside to a server.

    Attributes:
        port: The lab host's port.
        through: NAT or HAProxy.
        by: The criterion: the port itself, or a domain.
        server: The server at its end.
        target: The server's address and port.
    """

    port: int
    through: str
    by: str
    server: str
    target: str


def ways(lab: LabSpec) -> Iterator[Way]:
    """Yield every way into a lab, server by server."""
    for server in lab.servers:
        yield Way(server.port, NAT, f"port {server.port}", server.name, f"{server.address}:22")
        yield Way(80, HTTP, server.domain, server.name, f"{server.address}:80")
        yield Way(443, HTTPS, server.domain, server.name, f"{server.address}:443")


def text(lab: LabSpec, dialled: str) -> str:
    """Return the topology for a terminal.

    Args:
        lab: The lab.
        dialled: The address of the lab host that students dial.
    """
    all_ways = list(ways(lab))
    ports = [f"{dialled}:{way.port}" for way in all_ways]
    width = max(map(len, ports))
    middle = [f"{way.through} {way.by}" for way in all_ways]
    wide = max(map(len, middle))
    lines = [f"workstation ({lab.workstation})", "│"]
    for server in lab.servers:
        for index, way in enumerate(all_ways):
            if way.server == server.name:
                line = f"├─► {ports[index]:<{width}} ── {middle[index]:<{wide}} ──► "
                lines.append(f"{line}{way.server} {way.target}")
        lines.append("│")
    lines[-1] = f"└─  lab host {lab.host}, {dialled}"
    lines.append(f"    bridge {lab.bridge} {lab.subnet}, gateway {lab.gateway}, "
                 f"LXD project {lab.project}")  # fmt: skip
    if lab.tunnel:
        lines += [
            f"    tunnel {forward.listen} of {lab.tunnel.relay} ──► {_leads(lab, forward.server)}:"
            f"{forward.port}"
            for forward in lab.tunnel.forwards
        ]
    return "\n".join(lines) + "\n"


def svg(lab: LabSpec, dialled: str) -> str:
    """Return the topology as a picture for a projector."""
    return templates.render(
        __file__,
        "topology.svg.j2",
        lab=lab,
        dialled=dialled,
        servers=lab.servers,
        forwards=[
            f"{forward.listen} → {_leads(lab, forward.server)}:{forward.port}"
            for forward in (lab.tunnel.forwards if lab.tunnel else ())
        ],
    )


def _leads(lab: LabSpec, server: str) -> str:
    addresses = {item.name: item.address for item in lab.servers}
    return addresses.get(server, "lab host")
