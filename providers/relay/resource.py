"""Pulumi's provider and resource for a relay grant."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.relay import model


class DoorProvider(base.Provider[model.RelayGrantSpec]):
    """Provider of relay grants."""

    spec = model.RelayGrantSpec

    def driver(self, host: Host) -> base.Driver[model.RelayGrantSpec]:
        """Return the driver for a relay."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.open_store(host, "relay", {})
        return driver.FragmentDriver(store, model.RelayGrantSpec, model.fragment)


class RelayGrant(base.Resource, module="relay", name="Door"):
    """A relay grant; its inputs are those of `RelayGrantSpec`, its `host` the relay."""

    provider = DoorProvider
