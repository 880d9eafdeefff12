"""The Pulumi program: one stack, of the kind that its file says."""

import pulumi
from pulumi.runtime import config

from components import stack as stacks
from providers import base, watch, wire
from providers.hosts import gateway
from stacks import kinds

watch.end_with_engine()
project, stack = pulumi.get_project(), pulumi.get_stack()
try:
    given = config.CONFIG.get()
    secrets = [key for key in given if config.is_config_secret(key)]
    spec = kinds.parse(given, project=project, stack=stack, secrets=secrets)
except wire.Mistakes as mistakes:
    raise pulumi.RunError(f"stacks/Pulumi.{stack}.yaml: {base.tell(mistakes.mistakes)}") from None
gateway.connect_ahead(spec.host)
for name, value in stacks.build(spec).items():
    pulumi.export(name, value)
