"""Pulumi's provider and resource for a probe."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.probe import model


class ProbeProvider(base.Provider[model.ProbeSpec]):
    """Provider of probes."""

    spec = model.ProbeSpec

    def driver(self, host: Host) -> base.Driver[model.ProbeSpec]:
        """Return the driver for a workstation."""
        from providers.probe import driver  # noqa: PLC0415

        return driver.ProbeDriver(host)


class Probe(base.Resource, module="probe", name="Probe"):
    """A probe; its inputs are those of `ProbeSpec`, its `host` the workstation."""

    provider = ProbeProvider
