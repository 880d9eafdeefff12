"""Pulumi's provider and resource for a program run in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.host import Host
from providers import base
from providers.lxd.exec import model

if TYPE_CHECKING:
    import pulumi


class ExecProvider(base.Provider[model.ExecSpec]):
    """Provider of programs run in containers."""

    spec = model.ExecSpec

    def driver(self, host: Host) -> base.Driver[model.ExecSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.exec import driver  # noqa: PLC0415

        return driver.ExecDriver(client.on(host), host.url)


class Exec(base.Resource, module="lxd", name="Exec"):
    """A program run in a container; its inputs are those of `ExecSpec`.

    Attributes:
        status: Its exit status.
        stdout: The end of its standard output, without its secrets.
        stderr: The same of its standard error.
    """

    provider = ExecProvider
    outputs = (base.MACHINE, "status", "stdout", "stderr")
    status: pulumi.Output[int]
    stdout: pulumi.Output[str]
    stderr: pulumi.Output[str]
