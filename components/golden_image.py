"""A golden image: a base image, a builder, its steps, and the image published from it."""

from __future__ import annotations

from typing import Any

import pulumi

from checks.image import GoldenPreflightSpec
from components import steps
from providers.golden_preflight.resource import GoldenPreflight
from providers.lxd.container.model import ContainerSpec
from providers.lxd.container.resource import Container
from providers.lxd.image.model import ImageSpec
from providers.lxd.image.resource import Image
from providers.lxd.network.model import NetworkSpec
from providers.lxd.network.resource import Network
from providers.lxd.project.model import ProjectSpec
from providers.lxd.project.resource import Project
from providers.lxd.published.model import PublishedSpec
from providers.lxd.published.resource import Published
from providers.nat.opening.model import BridgeAllowSpec
from providers.nat.opening.resource import BridgeAllow
from stacks.golden import GoldenSpec

RECIPE_PROPERTY = "grappe.recipe"


class GoldenImage(pulumi.ComponentResource):
    """The image that servers start from.

    Attributes:
        image: The stack's output: {alias, fingerprint, recipe}.
    """

    image: dict[str, pulumi.Input[str]]

    def __init__(self, golden: GoldenSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("grappe:index:GoldenImage", golden.alias, {}, opts)
        common: dict[str, Any] = {"host": golden.host, "owner": golden.owner, "lab": golden.id}
        recipe = golden.recipe
        preflight = GoldenPreflight(
            f"{golden.alias}-preflight",
            GoldenPreflightSpec(
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
            opts=pulumi.ResourceOptions(parent=self),
        )
        builder = self._builder(golden, common, preflight)
        place = {**common, "project": golden.project, "container": golden.builder}
        done = steps.register(
            recipe, golden.alias, place, builder, self, starts_over=recipe.starts_over
        )
        published = Published(
            golden.alias,
            PublishedSpec(
                **place,
                name=golden.alias,
                properties={"description": recipe.description, RECIPE_PROPERTY: recipe.digest},
                running="stop",
                adopt=golden.adopt,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=done),
            container_id=builder.container_id,
        )
        self.image = {
            "alias": golden.alias,
            "fingerprint": published.fingerprint,
            "recipe": recipe.digest,
        }
        self.register_outputs({"image": self.image})

    def _builder(
        self, golden: GoldenSpec, common: dict[str, Any], preflight: pulumi.Resource
    ) -> Container:
        """Register the builder, and the resources that it needs."""
        origin = golden.recipe.base
        after = pulumi.ResourceOptions(parent=self, depends_on=[preflight])
        stands_on: list[pulumi.Resource] = [
            Image(
                golden.base_alias,
                ImageSpec(
                    **common,
                    name=golden.base_alias,
                    metadata=origin.metadata,
                    rootfs=origin.rootfs,
                    server=origin.server,
                    remote_alias=origin.image,
                    protocol=origin.protocol,
                    suite=origin.suite,
                    packages=origin.packages,
                    mirror=origin.mirror,
                ),
                opts=after,
            ),
            Project(golden.project, ProjectSpec(**common, name=golden.project), opts=after),
            Network(
                golden.bridge,
                NetworkSpec(**common, name=golden.bridge, address=f"{golden.gateway}/24"),
                opts=after,
            ),
            # UFW drops the builder's DHCP request until a bridge allow lets it through.
            BridgeAllow(
                f"{golden.bridge}-opening",
                BridgeAllowSpec(**common, name="builder"),
                opts=after,
            ),
        ]
        return Container(
            golden.builder,
            ContainerSpec(
                **common,
                name=golden.builder,
                project=golden.project,
                image=golden.base_alias,
                network=golden.bridge,
                address=golden.address,
                # Publishing stops the builder; only a changed recipe makes and starts a new one.
                state="any",
                port=0,
                generation=golden.recipe.digest,
            ),
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=stands_on, delete_before_replace=True
            ),
        )
