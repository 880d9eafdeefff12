"""Pulumi's provider and resource for a bridge allow."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.nat import model as nat
from providers.nat.opening import model


class OpeningProvider(base.Provider[model.BridgeAllowSpec]):
    """Provider of bridge allows."""

    spec = model.BridgeAllowSpec

    def driver(self, host: Host) -> base.Driver[model.BridgeAllowSpec]:
        """Return the driver for a host."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.open_store(host, "nat", nat.shared_sections())
        return driver.FragmentDriver(store, model.BridgeAllowSpec, model.fragment)


class BridgeAllow(base.Resource, module="nat", name="Opening"):
    """A bridge allow; its inputs are those of `BridgeAllowSpec`."""

    provider = OpeningProvider
