"""A student's lab: a project and a bridge of its own, and the servers on it."""

from __future__ import annotations

from typing import Any

import pulumi

from checks.lab import PlannedServer, PreflightSpec
from components import server, tunnel
from providers.lxd.network.model import NetworkSpec
from providers.lxd.network.resource import Network
from providers.lxd.project.model import ProjectSpec
from providers.lxd.project.resource import Project
from providers.preflight.resource import Preflight
from stacks.spec import LabSpec


class StudentLab(pulumi.ComponentResource):
    """Everything of one student on one lab host.

    Attributes:
        servers: The stack's output: a list of {name, domain, address, ssh, urls}.
    """

    servers: pulumi.Output[list[dict[str, object]]]

    def __init__(self, lab: LabSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("grappe:index:StudentLab", lab.student, {}, opts)
        common: dict[str, Any] = {"host": lab.host, "owner": lab.owner, "lab": lab.id}
        published = {item.publish for item in lab.servers if item.publish}
        preflight = Preflight(
            f"{lab.student}-preflight",
            PreflightSpec(
                **common,
                name="preflight",
                number=lab.number,
                student=lab.student,
                project=lab.project,
                bridge=lab.bridge,
                subnet=lab.subnet,
                address=lab.address,
                profiles=lab.profiles,
                default=lab.default,
                adopt=lab.adopt,
                servers=tuple(
                    PlannedServer(
                        name=item.name,
                        domain=item.domain,
                        port=item.port,
                        address=item.address,
                        image="" if item.image in published else item.image,
                        source=item.image,
                        ephemeral=item.ephemeral,
                        target=item.target,
                        volumes=tuple(f"{each.pool}/{each.name}" for each in item.volumes),
                    )
                    for item in lab.servers
                ),
                login=lab.login if lab.post_install else "",
                interface=lab.interface,
                pools=_pools(lab),
                paths=_paths(lab),
                workstation=lab.workstation,
                relay=lab.tunnel.relay if lab.tunnel else "",
                listens=tuple(
                    forward.listen for forward in (lab.tunnel.forwards if lab.tunnel else ())
                ),
                needs=tuple(
                    need for item in lab.servers if item.recipe for need in item.recipe.needs
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        after = pulumi.ResourceOptions(parent=self, depends_on=[preflight])
        # The network comes first, for it takes longest.
        network = Network(
            lab.bridge,
            NetworkSpec(
                **common,
                name=lab.bridge,
                address=f"{lab.gateway}/24",
                # Inside the lab, a domain resolves to its server's own address.
                hosts={name: item.address for item in lab.servers for name in item.domains},
            ),
            opts=after,
        )
        project = Project(
            lab.project,
            ProjectSpec(**common, name=lab.project, config=lab.quota),
            opts=after,
        )
        built: list[server.Server] = []
        for item in lab.servers:
            # A server that starts from another's published image waits for it.
            before = [
                other.published
                for other in built
                if other.published is not None and other.alias == item.image
            ]
            here = pulumi.ResourceOptions(parent=self)
            stands_on: list[pulumi.Resource] = [network, project, *before]
            made = server.Server(
                lab, item, preflight=preflight, project=project, after=stands_on, opts=here
            )
            built.append(made)
        if lab.tunnel:
            tunnel.Tunnel(lab, preflight, after=built, opts=pulumi.ResourceOptions(parent=self))
        self.servers = pulumi.Output.all(*(item.card for item in built))
        self.register_outputs({"servers": self.servers})


def _pools(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the storage pools that a lab names, with the keys that name them."""
    sized = [("grappe:pool", lab.pool)] if any(item.disk for item in lab.servers) else []
    return (*sized, *(
        (f"grappe:servers[{index}].volumes[{number}].pool", volume.pool)
        for index, item in enumerate(lab.servers)
        for number, volume in enumerate(item.volumes)
    ))  # fmt: skip


def _paths(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the files and devices of the host that a lab's servers are to have."""
    return tuple(
        (f"grappe:servers[{index}].devices.{name}.source", device["source"])
        for index, item in enumerate(lab.servers)
        for name, device in item.devices.items()
        if device.get("type") in ("disk", "unix-char", "unix-block")
        and device.get("source", "").startswith("/")
        and device.get("required", "true") != "false"
    )
