"""The steps of a recipe, run in a container one after the other."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from providers.lxd.container.resource import Container
from providers.lxd.exec.model import ExecSpec
from providers.lxd.exec.resource import Exec


def register(
    steps: Iterable[ExecSpec], prefix: str, container: Container, parent: pulumi.Resource
) -> list[pulumi.Resource]:
    """Register steps, each of which depends on the one before.

    Args:
        steps: The steps.
        prefix: The prefix of their logical names.
        container: The container.
        parent: Their parent resource.

    Returns:
        The container and the steps, as dependencies of later resources.
    """
    done: list[pulumi.Resource] = [container]
    for step in steps:
        opts = pulumi.ResourceOptions(parent=parent, depends_on=done[-1:])
        name = f"{prefix}-{step.name}"
        done.append(Exec(name, step, opts=opts, container_id=container.container_id))
    return done
