"""The plan of a golden image: the spec of each resource; pure."""

from __future__ import annotations

import dataclasses
from typing import Any

from checks.preflight.golden import GoldenPreflightSpec
from core.names import RECIPE_PROPERTY
from providers.lxd.container.model import ContainerSpec
from providers.lxd.exec.model import ExecSpec
from providers.lxd.image.model import ImageSpec
from providers.lxd.network.model import NetworkSpec
from providers.lxd.project.model import ProjectSpec
from providers.lxd.published.model import PublishedSpec
from providers.nat.opening.model import BridgeAllowSpec
from stacks.golden import GoldenSpec
from stacks.server_plan import steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldenPlan:
    """The resources of a golden image.

    Attributes:
        preflight: The survey that comes first.
        base: The image that the builder starts from.
        project: The builder's LXD project.
        network: Its bridge.
        allow: The rules that let its DHCP and DNS requests through UFW.
        builder: The builder.
        steps: The recipe's steps in it, in order.
        published: The golden image.
    """

    preflight: GoldenPreflightSpec
    base: ImageSpec
    project: ProjectSpec
    network: NetworkSpec
    allow: BridgeAllowSpec
    builder: ContainerSpec
    steps: tuple[ExecSpec, ...]
    published: PublishedSpec


def plan(golden: GoldenSpec) -> GoldenPlan:
    """Return the plan of a golden image."""
    common: dict[str, Any] = {"host": golden.host, "owner": golden.owner, "lab": golden.id}
    inside = {**common, "project": golden.project, "container": golden.builder}
    recipe = golden.recipe
    return GoldenPlan(
        preflight=GoldenPreflightSpec(
            **common,
            name="preflight",
            alias=golden.alias,
            recipe=recipe.digest,
            project=golden.project,
            bridge=golden.bridge,
            subnet=golden.subnet,
            adopt=golden.adopt,
            needs=recipe.needs,
        ),
        base=ImageSpec(
            **common,
            name=golden.base_alias,
            metadata=recipe.base.metadata,
            rootfs=recipe.base.rootfs,
            server=recipe.base.server,
            remote_alias=recipe.base.image,
            protocol=recipe.base.protocol,
            suite=recipe.base.suite,
            packages=recipe.base.packages,
            mirror=recipe.base.mirror,
        ),
        project=ProjectSpec(**common, name=golden.project),
        network=NetworkSpec(**common, name=golden.bridge, address=f"{golden.gateway}/24"),
        allow=BridgeAllowSpec(**common, name="builder"),
        builder=ContainerSpec(
            **common,
            name=golden.builder,
            project=golden.project,
            image=golden.base_alias,
            network=golden.bridge,
            address=golden.address,
            # Publishing stops the builder; only a changed recipe makes and starts a new one.
            state="any",
            port=0,
            generation=recipe.digest,
        ),
        steps=steps(recipe, inside, starts_over=recipe.starts_over),
        published=PublishedSpec(
            **inside,
            name=golden.alias,
            properties={"description": recipe.description, RECIPE_PROPERTY: recipe.digest},
            running="stop",
            adopt=golden.adopt,
        ),
    )
