"""Turn a bare server into a lab host, step by step, by pulumi-command."""

from __future__ import annotations

from collections.abc import Callable

import pulumi
from pulumi_command import local, remote

from components.lab_host import scripts
from hosts import ssh_settings
from providers.host_preflight.resource import HostPreflight
from stacks import lab_host
from stacks.lab_host import LabHostSpec

# The prefix of its resources' names.
NAME = "lab-host"
Register = Callable[[scripts.Script, pulumi.ResourceOptions], pulumi.Resource]


class LabHost(pulumi.ComponentResource):
    """A lab host.

    Attributes:
        host: The stack's output: {url, steps}.
    """

    host: dict[str, pulumi.Input[object]]

    def __init__(
        self,
        spec: LabHostSpec,
        connection: ssh_settings.Connection | None,
    ) -> None:
        """Register the steps.

        Args:
            spec: The lab host.
            connection: The settings of its SSH connection; None for this machine.
        """
        # Not the stack's name, as in older states: a renamed stack keeps its resources.
        name, stack = NAME, spec.owner.rpartition("/")[2]
        super().__init__("grappe:index:LabHost", name, {}, _with_older_name(stack))
        last: pulumi.Resource = HostPreflight(
            f"{name}-preflight",
            lab_host.preflight(spec),
            opts=_with_older_name(f"{stack}-preflight", pulumi.ResourceOptions(parent=self)),
        )
        register = _local(name, spec) if connection is None else _over_ssh(name, spec, connection)
        steps = scripts.for_host(spec, connection.port if connection else scripts.SSH_PORT)
        for step in steps:
            # Another host means another lab host: undo the old one first, as far as is safe.
            options = pulumi.ResourceOptions(
                parent=self, depends_on=[last], delete_before_replace=True
            )
            last = register(step, _with_older_name(f"{stack}-{step.name}", options))
        self.host = {"url": spec.host, "steps": [step.name for step in steps]}
        self.register_outputs({"host": self.host})


def _with_older_name(
    name: str, opts: pulumi.ResourceOptions | None = None
) -> pulumi.ResourceOptions:
    """Return options with the alias of a resource's older logical name."""
    older = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=name)])
    return pulumi.ResourceOptions.merge(opts, older)


def _over_ssh(name: str, spec: LabHostSpec, connection: ssh_settings.Connection) -> Register:
    def register(step: scripts.Script, opts: pulumi.ResourceOptions) -> pulumi.Resource:
        return remote.Command(
            f"{name}-{step.name}",
            connection=remote.ConnectionArgs(
                host=connection.host,
                port=connection.port,
                user=connection.user,
                private_key=pulumi.Output.secret(connection.private_key)
                if connection.private_key
                else None,
                agent_socket_path=connection.agent or None,
                host_key=connection.host_key,
            ),
            create=scripts.as_root(step.do, connection.user),
            update=scripts.as_root(step.do, connection.user),
            delete=scripts.as_root(step.undo, connection.user),
            # Most sshds refuse these variables, with a warning each time.
            add_previous_output_in_env=False,
            triggers=[spec.host],
            opts=opts,
        )

    return register


def _local(name: str, spec: LabHostSpec) -> Register:
    def register(step: scripts.Script, opts: pulumi.ResourceOptions) -> pulumi.Resource:
        return local.Command(
            f"{name}-{step.name}",
            create=step.do,
            update=step.do,
            delete=step.undo,
            interpreter=["/bin/sh", "-c"],
            triggers=[spec.host],
            opts=opts,
        )

    return register
