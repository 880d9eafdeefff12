"""The plan of one server: the spec of each of its resources; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.names import RECIPE_PROPERTY
from providers.haproxy.model import PAGE, BackendSpec
from providers.hosts_file.model import EntrySpec
from providers.lxd.container.model import ContainerSpec
from providers.lxd.exec.model import ExecSpec
from providers.lxd.postinstall.model import PostInstallSpec, names_script
from providers.lxd.published.model import PublishedSpec
from providers.lxd.snapshot.model import SnapshotSpec
from providers.lxd.volume.model import VolumeSpec
from providers.nat.model import RuleSpec
from providers.probe.model import ProbeSpec
from remote import haproxy_maps
from stacks import authorized_keys, ways
from stacks.server import ServerSpec
from stacks.spec import LabSpec

if TYPE_CHECKING:
    from stacks.recipe import ReadRecipe

# LXD's word for a server that is up.
RUNNING = "running"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """The resources of one server.

    Attributes:
        name: The server's name.
        prefix: The prefix of the resources' logical names.
        domain: Its domain.
        rule: The NAT rule of its ssh.
        volumes: Its volumes.
        container: Its container.
        steps: The steps of its recipe, in order.
        published: The image published from it.
        names: The step that makes its own DNS know the lab's domains.
        postinstall: Its post-installation; the password is an output of the configuration.
        keys: The step that gives the student's user its keys.
        snapshots: Its snapshots.
        backend: Its route.
        page: The route that shows a page about the installation until the backend exists.
        entry: Its names in the workstation's hosts file.
        probe: The checks of its ways.
    """

    name: str
    prefix: str
    domain: str
    rule: RuleSpec
    volumes: tuple[VolumeSpec, ...]
    container: ContainerSpec
    steps: tuple[ExecSpec, ...]
    published: PublishedSpec | None
    names: ExecSpec | None
    postinstall: PostInstallSpec | None
    keys: ExecSpec | None
    snapshots: tuple[SnapshotSpec, ...]
    backend: BackendSpec
    page: BackendSpec | None
    entry: EntrySpec | None
    probe: ProbeSpec | None


def steps(
    recipe: ReadRecipe | None, common: Mapping[str, Any], *, starts_over: bool
) -> tuple[ExecSpec, ...]:
    """Return the steps of a recipe in a container.

    Args:
        recipe: The recipe, if any.
        common: The fields `host`, `owner`, `lab`, `project` and `container`.
        starts_over: Whether a failure recreates the container, content and all.
    """
    return tuple(
        ExecSpec(**common, **vars(step), starts_over=starts_over)
        for step in (recipe.steps if recipe else ())
    )


def plan(lab: LabSpec, server: ServerSpec, common: Mapping[str, Any]) -> ServerPlan:
    """Return the plan of a server; `common` has the fields `host`, `owner` and `lab`."""
    inside = {**common, "project": lab.project, "container": server.name}
    runs, backend = server.state == RUNNING, _backend(lab, server, common)
    seen: dict[str, Any] = {
        "host": lab.workstation,
        "owner": lab.owner,
        "lab": lab.id,
        "name": server.name,
    }
    keys = None
    if lab.keys and runs:
        keys = ExecSpec(
            **inside,
            name="keys",
            script=authorized_keys.script(lab.user, lab.keys),
            delete=authorized_keys.removal(lab.user),
        )
    entry, probe = None, None
    if lab.workstation != "none":
        entry = EntrySpec(**seen, address="", domains=server.domains)
        checks = ways.checks(server.port, server.domain)
        probe = ProbeSpec(**seen, address="", checks=checks) if runs else None
    page = dataclasses.replace(
        backend, name=f"{server.name}{PAGE}", state=haproxy_maps.INSTALLING, adopts=()
    )
    return ServerPlan(
        name=server.name,
        prefix=f"{lab.student}-{server.name}",
        domain=server.domain,
        rule=rule(lab, server, common),
        volumes=_volumes(lab, server, common),
        container=_container(lab, server, common),
        # A failure may cost a builder, never a student's server.
        steps=steps(server.read, inside, starts_over=False),
        published=_published(lab, server, inside),
        names=None if lab.post_install or not runs else _names(lab, inside),
        postinstall=_postinstall(lab, server, inside) if lab.post_install else None,
        keys=keys,
        snapshots=tuple(SnapshotSpec(**inside, name=name) for name in server.snapshots),
        backend=backend,
        # Before a post-installation, the first visitor of a server's page may administer it.
        page=page if lab.post_install and not lab.adopt else None,
        entry=entry,
        probe=probe,
    )


def rule(lab: LabSpec, server: ServerSpec, common: Mapping[str, Any]) -> RuleSpec:
    """Return the NAT rule of a server's ssh; `common` as in `plan`."""
    return RuleSpec(
        **common,
        name=f"{server.name}_ssh",
        address=lab.address if lab.interface else "",
        interface=lab.interface,
        port=server.port,
        target_address=server.address,
        target_port=ways.PORTS[ways.SSH],
        comment=f"{server.name}_ssh",
        adopt=lab.adopt,
        bridge=lab.bridge,
    )


def _volumes(lab: LabSpec, server: ServerSpec, common: Mapping[str, Any]) -> tuple[VolumeSpec, ...]:
    return tuple(
        VolumeSpec(
            **common,
            name=volume.name,
            project=lab.project,
            pool=volume.pool,
            config={"size": volume.size} if volume.size else {},
        )
        for volume in server.volumes
    )


def _container(lab: LabSpec, server: ServerSpec, common: Mapping[str, Any]) -> ContainerSpec:
    return ContainerSpec(
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
    )


def _published(lab: LabSpec, server: ServerSpec, inside: Mapping[str, Any]) -> PublishedSpec | None:
    if not server.publish:
        return None
    properties = {RECIPE_PROPERTY: server.read.digest} if server.read else {}
    return PublishedSpec(
        **inside, name=server.publish, properties=properties, running="restart", adopt=lab.adopt
    )


def _names(lab: LabSpec, inside: Mapping[str, Any]) -> ExecSpec:
    # YunoHost uses a DNS of its own, also before its post-installation.
    domains = tuple(item.domain for item in lab.servers)
    return ExecSpec(**inside, name="names", script=names_script(domains, lab.gateway))


def _postinstall(lab: LabSpec, server: ServerSpec, inside: Mapping[str, Any]) -> PostInstallSpec:
    return PostInstallSpec(
        **inside,
        name=server.name,
        domain=server.domain,
        login=lab.login,
        password="",
        resolver=lab.gateway,
        neighbours=(
            *(item.domain for item in lab.servers if item.name != server.name),
            *server.domains[1:],
        ),
    )


def _backend(lab: LabSpec, server: ServerSpec, common: Mapping[str, Any]) -> BackendSpec:
    return BackendSpec(
        **common,
        name=server.name,
        domains=(server.domain,),
        address=server.address,
        state=haproxy_maps.UP if server.state == RUNNING else haproxy_maps.STOPPED,
        default=lab.default == server.name,
        adopts=tuple(other.domain for other in lab.servers) if lab.adopt else (),
    )
