"""A student's lab: a project and a bridge of its own, and the servers on it."""

from __future__ import annotations

import pulumi

from components import server, tunnel
from providers.lxd.network.resource import Network
from providers.lxd.project.resource import Project
from providers.preflight.resource import Preflight
from stacks.plan import LabPlan


class StudentLab(pulumi.ComponentResource):
    """Everything of one student on one lab host.

    Attributes:
        servers: The stack's output: a list of {name, domain, address, ssh, urls}.
    """

    servers: pulumi.Output[list[dict[str, object]]]

    def __init__(self, lab: LabPlan) -> None:
        super().__init__("grappe:index:StudentLab", lab.student)
        own = pulumi.ResourceOptions(parent=self)
        # Its name is the same whoever the student is, so that it knows what the last `up` made.
        older = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{lab.student}-preflight")])
        preflight = Preflight(
            "preflight", lab.preflight, opts=pulumi.ResourceOptions.merge(own, older)
        )
        after = pulumi.ResourceOptions(parent=self, depends_on=[preflight])
        # The network comes first, for it takes longest.
        network = Network(lab.network.name, lab.network, opts=after)
        project = Project(lab.project.name, lab.project, opts=after)
        images: dict[str, pulumi.Resource] = {}
        built: list[server.Server] = []
        for plan in lab.servers:
            # A server that starts from another's published image waits for it.
            before = [images[plan.container.image]] if plan.container.image in images else []
            made = server.Server(
                lab, plan, preflight=preflight, project=project,
                after=[network, project, *before], opts=own,
            )  # fmt: skip
            if plan.published and made.published:
                images[plan.published.name] = made.published
            built.append(made)
        if lab.tunnel:
            name = f"{lab.student}-tunnel"
            tunnel.Tunnel(name, lab.tunnel, preflight, after=built, opts=own)
        self.servers = pulumi.Output.all(*(item.card for item in built))
        self.register_outputs({"servers": self.servers})
