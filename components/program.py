"""The program that the engine runs: a stack file becomes a stack's resources and outputs."""

from __future__ import annotations

import pulumi
from pulumi.runtime import config

from components import stack as stacks
from providers import base, wire
from providers.hosts import gateway
from stacks import kinds


def run() -> None:
    """Load the stack's spec, register what it means, and export its outputs.

    Raises:
        pulumi.RunError: Everything that is wrong with the stack file.

    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    try:
        given = config.CONFIG.get()
        secrets = [key for key in given if config.is_config_secret(key)]
        spec = kinds.parse(given, project=project, stack=stack, secrets=secrets)
    except wire.Mistakes as mistakes:
        raise pulumi.RunError(
            f"stacks/Pulumi.{stack}.yaml: {base.tell(mistakes.mistakes)}"
        ) from None
    gateway.connect_ahead(spec.host)
    for name, value in stacks.build(spec).items():
        pulumi.export(name, value)
