"""One server of a student: its container, NAT rule, backend, hosts entry and probe."""

from __future__ import annotations

import pulumi

from components import recipe_steps
from providers.haproxy.resource import Backend
from providers.hosts_file.resource import Entry
from providers.lxd.container.resource import Container
from providers.lxd.exec.resource import Exec
from providers.lxd.postinstall.resource import PostInstall
from providers.lxd.project.resource import Project
from providers.lxd.published.resource import Published
from providers.lxd.snapshot.resource import Snapshot
from providers.lxd.volume.resource import Volume
from providers.nat.resource import Rule
from providers.preflight.resource import Preflight
from providers.probe.resource import Probe
from stacks.plan import LabPlan
from stacks.server_plan import ServerPlan


class Server(pulumi.ComponentResource):
    """A YunoHost server.

    Attributes:
        card: The student's access data: {name, domain, address, ssh, urls}.
        published: The image published from it, if any.
    """

    card: pulumi.Output[dict[str, object]]
    published: Published | None

    def __init__(
        self,
        lab: LabPlan,
        plan: ServerPlan,
        *,
        preflight: Preflight,
        project: Project,
        after: list[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("grappe:index:Server", plan.prefix, {}, opts)
        rule = Rule(f"{plan.prefix}-ssh", plan.rule, opts=self._after(preflight))
        container = self._container(plan, rule, after)
        # The work in the container, as in the sheet: install, publish, post-install.
        done = recipe_steps.register(plan.steps, plan.prefix, container, self)
        self.published = self._published(plan, container, done)
        done = [*done, self.published] if self.published else done
        self._names(plan, container, done)
        installed = self._postinstall(plan, container, done)
        done = [*done, installed] if installed else done
        self._keys(plan, container, done)
        snapshots = self._snapshots(plan, container, done)
        # A page routed by hand stays until Grappe has taken its server over.
        opened = self._after(installed or (container if lab.adopt else project))
        if installed:
            # Until a recreated container is post-installed, its first visitor may become its
            # administrator: the engine removes the route first, and adds it again at the end.
            opened.replace_with = [container]
        backend = self._route(plan, preflight, project, opened)
        if plan.probe:
            ready = self._after(rule, backend, *done, *snapshots)
            Probe(f"{plan.prefix}-probe", plan.probe, opts=ready, address=preflight.address)
        user = installed.user if installed else lab.user
        self.card = pulumi.Output.all(preflight.address, user).apply(
            lambda known: _card(plan, address=known[0], user=known[1])
        )
        self.register_outputs({"card": self.card})

    def _after(self, *others: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=others)

    def _container(self, plan: ServerPlan, rule: Rule, after: list[pulumi.Resource]) -> Container:
        volumes = [
            Volume(f"{plan.prefix}-{volume.name}", volume, opts=self._after(*after))
            for volume in plan.volumes
        ]
        # UFW drops the container's DHCP request until the first rule opens the bridge.
        opts = self._after(*after, rule, *volumes)
        # Also when the engine replaces it by itself: it must make a new container.
        opts.delete_before_replace = True
        return Container(plan.prefix, plan.container, opts=opts)

    def _names(self, plan: ServerPlan, container: Container, done: list[pulumi.Resource]) -> None:
        if plan.names:
            opts = self._after(*done)
            # This step undoes nothing: a removal need not wait for it.
            opts.deleted_with = container
            name = f"{plan.prefix}-names"
            Exec(name, plan.names, opts=opts, container_id=container.container_id)

    def _snapshots(
        self, plan: ServerPlan, container: Container, done: list[pulumi.Resource]
    ) -> list[Snapshot]:
        return [
            Snapshot(
                f"{plan.prefix}-{snapshot.name}", snapshot, opts=self._after(*done),
                container_id=container.container_id,
            )
            for snapshot in plan.snapshots
        ]  # fmt: skip

    def _route(
        self, plan: ServerPlan, preflight: Preflight, project: Project,
        opened: pulumi.ResourceOptions,
    ) -> Backend:  # fmt: skip
        """Register the server's routes and hosts entry; `opened` has the route's dependencies."""
        # Made while LXD makes the network, and removed while it stops the container: they depend on
        # the project only for that order. An early request gets 503.
        if plan.page:
            Backend(f"{plan.prefix}-page", plan.page, opts=self._after(project))
        if plan.entry:
            Entry(
                f"{plan.prefix}-hosts", plan.entry, opts=self._after(project),
                address=preflight.address,
            )  # fmt: skip
        return Backend(f"{plan.prefix}-web", plan.backend, opts=opened)

    def _published(
        self, plan: ServerPlan, container: Container, done: list[pulumi.Resource]
    ) -> Published | None:
        if plan.published is None:
            return None
        return Published(
            f"{plan.prefix}-image", plan.published, opts=self._after(*done),
            container_id=container.container_id,
        )  # fmt: skip

    def _postinstall(
        self, plan: ServerPlan, container: Container, done: list[pulumi.Resource]
    ) -> PostInstall | None:
        if plan.postinstall is None:
            return None
        return PostInstall(
            f"{plan.prefix}-postinstall", plan.postinstall, opts=self._after(*done),
            container_id=container.container_id,
            password=pulumi.Config("grappe").require_secret("password"),
        )  # fmt: skip

    def _keys(self, plan: ServerPlan, container: Container, done: list[pulumi.Resource]) -> None:
        if plan.keys is None:
            return
        opts = self._after(*done)
        # A replacement that the engine decides on would else remove the keys after it wrote them.
        opts.delete_before_replace = True
        name = f"{plan.prefix}-keys"
        Exec(name, plan.keys, opts=opts, container_id=container.container_id)


def _card(plan: ServerPlan, *, address: str, user: str) -> dict[str, object]:
    return {
        "name": plan.name,
        "domain": plan.domain,
        "address": plan.container.address,
        "ssh": {"host": address, "port": plan.rule.port, "user": user},
        "urls": [f"http://{plan.domain}/", f"https://{plan.domain}/"],
    }
