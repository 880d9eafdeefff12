"""Pulumi's provider and resource for a tunnel."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.tunnel import model


class TunnelProvider(base.Provider[model.TunnelSpec]):
    """Provider of tunnels."""

    spec = model.TunnelSpec

    def driver(self, host: Host) -> base.Driver[model.TunnelSpec]:
        """Return the driver for a host."""
        from providers.tunnel import driver  # noqa: PLC0415
        from providers.tunnel import host as hosts  # noqa: PLC0415

        return driver.TunnelDriver(hosts.TunnelHost(host))


class Tunnel(base.Resource, module="tunnel", name="Tunnel"):
    """A tunnel; its inputs are those of `TunnelSpec`."""

    provider = TunnelProvider
