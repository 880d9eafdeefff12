"""One server of a student: its container, and every way that leads to it."""

from __future__ import annotations

import typing
from typing import Any

import pulumi

from providers.haproxy.model import BackendSpec
from providers.haproxy.resource import Backend
from providers.hosts_file.model import EntrySpec
from providers.hosts_file.resource import Entry
from providers.lxd.container.model import ContainerSpec
from providers.lxd.container.resource import Container
from providers.nat.model import RuleSpec
from providers.nat.resource import Rule
from providers.probe.model import Check, ProbeSpec
from providers.probe.resource import Probe
from stacks.spec import LabSpec, ServerSpec

SSH_PORT = 22


class Server(pulumi.ComponentResource):
    """A YunoHost server.

    Attributes:
        card: What a student types and clicks: {name, domain, address, ssh, urls}.
    """

    card: pulumi.Output[dict[str, object]]

    def __init__(
        self,
        lab: LabSpec,
        server: ServerSpec,
        *,
        dialled: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        name = f"{lab.student}-{server.name}"
        super().__init__("grappe:index:Server", name, {}, opts)
        common: dict[str, Any] = {"host": lab.host, "owner": lab.owner}
        # What the component waits for, its parts wait for too: said once, to each.
        wait = typing.cast("list[pulumi.Resource]", opts.depends_on)
        rule = Rule(
            f"{name}-ssh",
            RuleSpec(
                **common,
                name=f"{server.name}_ssh",
                address=lab.address if lab.interface else "",
                interface=lab.interface,
                port=server.port,
                target_address=server.address,
                target_port=SSH_PORT,
                comment=f"{server.name}_ssh",
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=wait),
        )
        container = Container(
            name,
            ContainerSpec(
                **common,
                name=server.name,
                project=lab.project,
                image=server.image,
                profiles=lab.profiles,
                config=lab.config,
                limits=server.limits,
                network=lab.bridge,
                address=server.address,
                state=server.state,
            ),
            # UFW drops its request for an address until the first rule opens the bridge.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*wait, rule]),
        )
        backend = Backend(
            f"{name}-web",
            BackendSpec(
                **common,
                name=server.name,
                domains=(server.domain,),
                address=server.address,
                default=lab.default == server.name,
            ),
            # A backend without its server would answer 503 to whoever asks early.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[container]),
        )
        if lab.workstation != "none":
            self._seen_from_workstation(lab, server, dialled, [container, rule, backend])
        self.card = dialled.apply(lambda address: _card(server, address))
        self.register_outputs({"card": self.card})

    def _seen_from_workstation(
        self,
        lab: LabSpec,
        server: ServerSpec,
        dialled: pulumi.Output[str],
        ways: list[pulumi.Resource],
    ) -> None:
        name = f"{lab.student}-{server.name}"
        common: dict[str, Any] = {"host": lab.workstation, "owner": lab.owner, "name": server.name}
        Entry(
            f"{name}-hosts",
            EntrySpec(**common, address="", domains=(server.domain,)),
            address=dialled,
            opts=pulumi.ResourceOptions(parent=self),
        )
        if server.state == "running":
            Probe(
                f"{name}-probe",
                ProbeSpec(
                    **common,
                    address="",
                    checks=(
                        Check(kind="ssh", port=server.port),
                        Check(kind="http", port=80, domain=server.domain),
                        Check(kind="https", port=443, domain=server.domain),
                    ),
                ),
                address=dialled,
                opts=pulumi.ResourceOptions(parent=self, depends_on=ways),
            )


def _card(server: ServerSpec, address: str) -> dict[str, object]:
    return {
        "name": server.name,
        "domain": server.domain,
        "address": server.address,
        "ssh": {"host": address, "port": server.port},
        "urls": [f"http://{server.domain}/", f"https://{server.domain}/"],
    }
