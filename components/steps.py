"""The steps of a recipe, done in a container one after the other."""

from __future__ import annotations

from typing import Any

import pulumi

from providers.lxd.container.resource import Container
from providers.lxd.exec.model import ExecSpec
from providers.lxd.exec.resource import Exec
from stacks.recipe import ReadRecipe


def of(
    recipe: ReadRecipe,
    prefix: str,
    place: dict[str, Any],
    container: Container,
    parent: pulumi.Resource,
    *,
    starts_over: bool,
) -> list[pulumi.Resource]:
    """Register the steps; each waits for the one before.

    Args:
        recipe: The recipe.
        prefix: What the steps' logical names begin with.
        place: Where: `host`, `owner`, `project` and `container`.
        container: The container itself.
        parent: What they belong to.
        starts_over: Whether a failure may cost the container all that is in it.

    Returns:
        The container and the steps, for what is to wait for all of them.

    """
    done: list[pulumi.Resource] = [container]
    for step in recipe.steps:
        spec = ExecSpec(
            **place,
            name=step.name,
            script=step.script,
            environment=step.environment,
            user=step.user,
            directory=step.directory,
            timeout=step.timeout,
            creates=step.creates,
            unless=step.unless,
            starts_over=starts_over,
        )
        opts = pulumi.ResourceOptions(parent=parent, depends_on=done[-1:])
        name = f"{prefix}-{step.name}"
        done.append(Exec(name, spec, opts=opts, container_id=container.container_id))
    return done
