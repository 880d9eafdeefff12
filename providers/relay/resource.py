"""Pulumi's provider and resource for a door."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.relay import model


class DoorProvider(base.Provider[model.DoorSpec]):
    """Provider of doors."""

    spec = model.DoorSpec

    def driver(self, host: Host) -> base.Driver[model.DoorSpec]:
        """Return the driver for a relay."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.over(host, "relay", model.frame())
        return driver.FragmentDriver(store, model.DoorSpec, model.fragment)


class Door(base.Resource, module="relay", name="Door"):
    """A door; its inputs are those of `DoorSpec`, its `host` the relay."""

    provider = DoorProvider
