"""One server of a student: its container, NAT rule, backend, hosts entry and probe."""

from __future__ import annotations

import dataclasses
from typing import Any

import pulumi

from components import authorized_keys, steps
from providers.haproxy.model import PAGE, BackendSpec
from providers.haproxy.resource import Backend
from providers.hosts_file.model import EntrySpec
from providers.hosts_file.resource import Entry
from providers.lxd.container.model import ContainerSpec
from providers.lxd.container.resource import Container
from providers.lxd.exec.model import ExecSpec
from providers.lxd.exec.resource import Exec
from providers.lxd.postinstall.model import PostInstallSpec, names_script
from providers.lxd.postinstall.resource import PostInstall
from providers.lxd.project.resource import Project
from providers.lxd.published.model import PublishedSpec
from providers.lxd.published.resource import Published
from providers.lxd.snapshot.model import SnapshotSpec
from providers.lxd.snapshot.resource import Snapshot
from providers.lxd.volume.model import VolumeSpec
from providers.lxd.volume.resource import Volume
from providers.nat.model import RuleSpec
from providers.nat.resource import Rule
from providers.preflight.resource import Preflight
from providers.probe.model import Check, ProbeSpec
from providers.probe.resource import Probe
from remote import maps
from stacks.server import ServerSpec
from stacks.spec import LabSpec

SSH_PORT = 22


class Server(pulumi.ComponentResource):
    """A YunoHost server.

    Attributes:
        card: The student's access data: {name, domain, address, ssh, urls}.
        published: The image published from it, if any.
        alias: That image's alias.
    """

    card: pulumi.Output[dict[str, object]]
    published: Published | None
    alias: str
    _user: pulumi.Output[str] | None
    _installed: PostInstall | None

    def __init__(
        self,
        lab: LabSpec,
        server: ServerSpec,
        *,
        preflight: Preflight,
        project: Project,
        after: list[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        dialled = preflight.address
        name = f"{lab.student}-{server.name}"
        super().__init__("grappe:index:Server", name, {}, opts)
        common: dict[str, Any] = {"host": lab.host, "owner": lab.owner, "lab": lab.id}
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
                adopt=lab.adopt,
                bridge=lab.bridge,
            ),
            # The rule needs no existing bridge: it matches bridges by prefix.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[preflight]),
        )
        container = Container(
            name,
            ContainerSpec(
                **common,
                name=server.name,
                project=lab.project,
                image=server.image,
                profiles=lab.profiles,
                config=server.config,
                limits=server.limits,
                disk=server.disk,
                pool=lab.pool,
                network=lab.bridge,
                address=server.address,
                state=server.state,
                devices=server.devices,
                ephemeral=server.ephemeral,
                target=server.target,
                adopt=lab.adopt,
            ),
            # UFW drops the container's DHCP request until the first rule opens the bridge.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*after, rule, *self._volumes(lab, server, after)],
                # Also when the engine replaces it by itself: it must make a new container.
                delete_before_replace=True,
            ),
        )
        ready = self._register_contents(lab, server, container)
        # Made while LXD makes the network, and removed while it stops the container: they depend on
        # the project only for that order. An early request gets 503.
        in_project = pulumi.ResourceOptions(parent=self, depends_on=[project])
        route = BackendSpec(
            **common,
            name=server.name,
            domains=(server.domain,),
            address=server.address,
            state=maps.UP if server.state == "running" else maps.STOPPED,
            default=lab.default == server.name,
            adopts=tuple(other.domain for other in lab.servers) if lab.adopt else (),
        )
        # Before a post-installation, the first visitor of a server's page may become its master. A
        # page routed by hand stays until Grappe has taken its server over.
        routed = [self._installed] if self._installed else [container] if lab.adopt else [project]
        backend = Backend(
            f"{name}-web", route, opts=pulumi.ResourceOptions(parent=self, depends_on=routed)
        )
        if self._installed and not lab.adopt:
            page = dataclasses.replace(
                route, name=f"{server.name}{PAGE}", state=maps.INSTALLING, adopts=()
            )
            Backend(f"{name}-page", page, opts=in_project)
        if lab.workstation != "none":
            ways = [rule, backend, *ready]
            self._register_workstation(lab, server, dialled, ways, in_project)
        user = self._user or pulumi.Output.from_input(lab.user)
        self.card = pulumi.Output.all(dialled, user).apply(
            lambda known: _card(server, address=known[0], user=known[1])
        )
        self.register_outputs({"card": self.card})

    def _volumes(
        self, lab: LabSpec, server: ServerSpec, wait: list[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        return [
            Volume(
                f"{lab.student}-{server.name}-{volume.name}",
                VolumeSpec(
                    host=lab.host,
                    owner=lab.owner,
                    lab=lab.id,
                    name=volume.name,
                    project=lab.project,
                    pool=volume.pool,
                    config={"size": volume.size} if volume.size else {},
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=wait),
            )
            for volume in server.volumes
        ]

    def _register_contents(
        self, lab: LabSpec, server: ServerSpec, container: Container
    ) -> list[pulumi.Resource]:
        """Register the work in the container, as in the sheet: install, publish, post-install."""
        name = f"{lab.student}-{server.name}"
        common: dict[str, Any] = {
            "host": lab.host, "owner": lab.owner, "lab": lab.id, "project": lab.project,
        }  # fmt: skip
        place = {**common, "container": server.name}
        self.published, self.alias, self._user = None, server.publish, None
        self._installed = None
        done: list[pulumi.Resource] = [container]
        if server.recipe:
            # A failure may cost a builder, never a student's server.
            done = steps.register(server.recipe, name, place, container, self, starts_over=False)
        if server.publish:
            recipe = {"grappe.recipe": server.recipe.digest} if server.recipe else {}
            self.published = Published(
                f"{name}-image",
                PublishedSpec(
                    **place, name=server.publish, properties=recipe, running="restart",
                    adopt=lab.adopt,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=done),
                container_id=container.container_id,
            )  # fmt: skip
            done = [*done, self.published]
        if not lab.post_install and server.state == "running":
            # YunoHost uses a DNS of its own, also before its post-installation.
            domains = tuple(item.domain for item in lab.servers)
            Exec(
                f"{name}-names",
                ExecSpec(**place, name="names", script=names_script(domains, lab.gateway)),
                opts=pulumi.ResourceOptions(parent=self, depends_on=done),
                container_id=container.container_id,
            )
        if lab.post_install:
            installed = PostInstall(
                f"{name}-postinstall",
                PostInstallSpec(
                    **place, name=server.name, domain=server.domain, login=lab.login, password="",
                    resolver=lab.gateway,
                    neighbours=tuple(
                        item.domain for item in lab.servers if item.name != server.name
                    ),
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=done),
                container_id=container.container_id,
                password=pulumi.Config("grappe").require_secret("password"),
            )  # fmt: skip
            self._user, self._installed = installed.user, installed
            done = [*done, installed]
        if lab.keys and server.state == "running":
            authorized_keys.register(lab, server.name, container, done, self)
        return done + [
            Snapshot(
                f"{name}-{snapshot}",
                SnapshotSpec(**place, name=snapshot),
                opts=pulumi.ResourceOptions(parent=self, depends_on=done),
                container_id=container.container_id,
            )
            for snapshot in server.snapshots
        ]

    def _register_workstation(
        self,
        lab: LabSpec,
        server: ServerSpec,
        dialled: pulumi.Output[str],
        ways: list[pulumi.Resource],
        in_project: pulumi.ResourceOptions,
    ) -> None:
        name = f"{lab.student}-{server.name}"
        common: dict[str, Any] = {
            "host": lab.workstation, "owner": lab.owner, "lab": lab.id, "name": server.name,
        }  # fmt: skip
        Entry(
            f"{name}-hosts",
            EntrySpec(**common, address="", domains=server.domains),
            address=dialled,
            opts=in_project,
        )
        if server.state == "running":
            Probe(
                f"{name}-probe",
                ProbeSpec(
                    **common,
                    address="",
                    checks=(
                        Check(kind="ssh", port=server.port),
                        Check(kind="http", port=80, domain=server.domain, led=True),
                        Check(kind="https", port=443, domain=server.domain),
                    ),
                ),
                address=dialled,
                opts=pulumi.ResourceOptions(parent=self, depends_on=ways),
            )


def _card(server: ServerSpec, *, address: str, user: str) -> dict[str, object]:
    return {
        "name": server.name,
        "domain": server.domain,
        "address": server.address,
        "ssh": {"host": address, "port": server.port, "user": user},
        "urls": [f"http://{server.domain}/", f"https://{server.domain}/"],
    }
