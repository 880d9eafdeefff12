"""Pulumi's provider and resource for an LXD network."""

from __future__ import annotations

import functools

from hosts.host import Host
from providers import base
from providers.lxd.network import model


class NetworkProvider(base.Provider[model.NetworkSpec]):
    """Provider of LXD networks."""

    spec = model.NetworkSpec

    def driver(self, host: Host) -> base.Driver[model.NetworkSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.network import driver  # noqa: PLC0415

        lost = functools.partial(driver.lost_settings, host)
        return driver.NetworkDriver(client.on(host), lost, functools.partial(driver.attach, host))


class Network(base.Resource, module="lxd", name="Network"):
    """An LXD bridge; its inputs are those of `NetworkSpec`."""

    provider = NetworkProvider
