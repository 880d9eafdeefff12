"""Pulumi's provider and resource for an LXD project."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.lxd.project import model


class ProjectProvider(base.Provider[model.ProjectSpec]):
    """Provider of LXD projects."""

    spec = model.ProjectSpec

    def driver(self, host: Host) -> base.Driver[model.ProjectSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415 - the program itself needs no driver
        from providers.lxd.project import driver  # noqa: PLC0415

        return driver.ProjectDriver(client.on(host))


class Project(base.Resource, module="lxd", name="Project"):
    """An LXD project; its inputs are those of `ProjectSpec`."""

    provider = ProjectProvider
