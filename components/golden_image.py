"""A golden image: a base image, a builder, its steps, and the image published from it."""

from __future__ import annotations

import pulumi

from components import recipe_steps
from providers.golden_preflight.resource import GoldenPreflight
from providers.lxd.container.resource import Container
from providers.lxd.image.resource import Image
from providers.lxd.network.resource import Network
from providers.lxd.project.resource import Project
from providers.lxd.published.resource import Published
from providers.nat.opening.resource import BridgeAllow
from stacks.golden_plan import GoldenPlan


class GoldenImage(pulumi.ComponentResource):
    """The image that servers start from.

    Attributes:
        image: The stack's output: {alias, fingerprint, recipe}.
    """

    image: dict[str, pulumi.Input[str]]

    def __init__(self, plan: GoldenPlan) -> None:
        alias = plan.published.name
        super().__init__("grappe:index:GoldenImage", alias)
        preflight = GoldenPreflight(
            f"{alias}-preflight", plan.preflight, opts=pulumi.ResourceOptions(parent=self)
        )
        after = pulumi.ResourceOptions(parent=self, depends_on=[preflight])
        needs: list[pulumi.Resource] = [
            Image(plan.base.name, plan.base, opts=after),
            Project(plan.project.name, plan.project, opts=after),
            Network(plan.network.name, plan.network, opts=after),
            # UFW drops the builder's DHCP request until this lets the bridge through.
            BridgeAllow(f"{plan.network.name}-opening", plan.allow, opts=after),
        ]
        builder = Container(
            plan.builder.name, plan.builder,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=needs, delete_before_replace=True
            ),
        )  # fmt: skip
        done = recipe_steps.register(plan.steps, alias, builder, self)
        published = Published(
            alias, plan.published, opts=pulumi.ResourceOptions(parent=self, depends_on=done),
            container_id=builder.container_id,
        )  # fmt: skip
        self.image = {
            "alias": alias,
            "fingerprint": published.fingerprint,
            "recipe": plan.preflight.recipe,
        }
        self.register_outputs({"image": self.image})
