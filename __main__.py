"""The Pulumi program: one stack, one student's lab."""

import pulumi
from pulumi.runtime import config

from components.student_lab import StudentLab
from providers import base, watch, wire
from stacks import spec

watch.end_with_engine()
project, stack = pulumi.get_project(), pulumi.get_stack()
try:
    given = config.CONFIG.get()
    secrets = [key for key in given if config.is_config_secret(key)]
    lab = spec.parse(given, project=project, stack=stack, secrets=secrets)
except wire.Mistakes as mistakes:
    raise pulumi.RunError(f"stacks/Pulumi.{stack}.yaml: {base.tell(mistakes.mistakes)}") from None
pulumi.export("servers", StudentLab(lab).servers)
