"""The plan of a student's lab: the spec of each resource; pure.

`spec` holds the meaning of a stack file, the plan the resources that it needs. `components`
registers them with their dependencies. A field that another resource's output fills in is empty
here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from checks.preflight.spec import PreflightSpec
from providers.lxd.network.model import NetworkSpec
from providers.lxd.project.model import ProjectSpec
from providers.relay.model import RelayGrantSpec
from providers.tunnel.key.model import KeySpec
from providers.tunnel.model import TunnelSpec
from stacks import preflight_plan, server_plan
from stacks.server_plan import ServerPlan
from stacks.spec import LabSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunnelPlan:
    """The resources of a tunnel.

    Attributes:
        key: The key pair on the lab host.
        grant: The grant on the relay; the public key is an output of `key`.
        tunnel: The tunnel; the relay's address and key are outputs of the preflight.
        forwards: Its forwards: {listen, port, address, domain}; where `address` is empty, traffic
            goes to the lab host's own address, an output of the preflight.
    """

    key: KeySpec
    grant: RelayGrantSpec
    tunnel: TunnelSpec
    forwards: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabPlan:
    """The resources of a lab.

    Attributes:
        student: The student.
        user: The login of the student's ssh.
        adopt: Whether the lab takes over containers, rules and routing made by hand.
        preflight: The survey that comes first.
        network: The bridge.
        project: The LXD project.
        servers: The servers.
        tunnel: The tunnel.
    """

    student: str
    user: str
    adopt: bool
    preflight: PreflightSpec
    network: NetworkSpec
    project: ProjectSpec
    servers: tuple[ServerPlan, ...]
    tunnel: TunnelPlan | None


def plan(lab: LabSpec) -> LabPlan:
    """Return the plan of a lab."""
    common: dict[str, Any] = {"host": lab.host, "owner": lab.owner, "lab": lab.id}
    return LabPlan(
        student=lab.student,
        user=lab.user,
        adopt=lab.adopt,
        preflight=preflight_plan.plan(lab, common),
        network=NetworkSpec(
            **common,
            name=lab.bridge,
            address=f"{lab.gateway}/24",
            # Inside the lab, a domain resolves to its server's own address.
            hosts={name: item.address for item in lab.servers for name in item.domains},
        ),
        project=ProjectSpec(**common, name=lab.project, config=lab.quota),
        servers=tuple(server_plan.plan(lab, item, common) for item in lab.servers),
        tunnel=_tunnel(lab),
    )


def _tunnel(lab: LabSpec) -> TunnelPlan | None:
    if lab.tunnel is None:
        return None
    common: dict[str, Any] = {"owner": lab.owner, "lab": lab.id, "name": lab.student}
    servers = {server.name: server for server in lab.servers}
    return TunnelPlan(
        key=KeySpec(**common, host=lab.host),
        grant=RelayGrantSpec(
            **common,
            host=lab.tunnel.relay,
            public_key="",
            listens=tuple(forward.listen for forward in lab.tunnel.forwards),
        ),
        tunnel=TunnelSpec(**common, host=lab.host, relay_address="", relay_key="", forwards=()),
        forwards=tuple(
            {
                "listen": forward.listen,
                "port": forward.port,
                # By default HAProxy routes by domain; a named server gets the traffic directly.
                "address": servers[forward.server].address if forward.server else "",
                "domain": servers[forward.server or lab.servers[0].name].domain,
            }
            for forward in lab.tunnel.forwards
        ),
    )
