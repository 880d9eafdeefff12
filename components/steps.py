"""The steps of a recipe, run in a container one after the other."""

from __future__ import annotations

from typing import Any

import pulumi

from providers.lxd.container.resource import Container
from providers.lxd.exec.model import ExecSpec
from providers.lxd.exec.resource import Exec
from stacks.recipe import ReadRecipe


def register(
    recipe: ReadRecipe,
    prefix: str,
    common: dict[str, Any],
    container: Container,
    parent: pulumi.Resource,
    *,
    starts_over: bool,
) -> list[pulumi.Resource]:
    """Register the steps; each waits for the one before.

    Args:
        recipe: The recipe.
        prefix: The prefix of the steps' logical names.
        common: Common fields: `host`, `owner`, `project` and `container`.
        container: The container itself.
        parent: Their parent resource.
        starts_over: Whether a failure recreates the container, content and all.

    Returns:
        The container and the steps, as dependencies of later resources.

    """
    done: list[pulumi.Resource] = [container]
    for step in recipe.steps:
        spec = ExecSpec(
            **common,
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
