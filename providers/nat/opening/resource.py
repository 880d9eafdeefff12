"""Pulumi's provider and resource for an opening."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.nat import model as nat
from providers.nat.opening import model


class OpeningProvider(base.Provider[model.OpeningSpec]):
    """Provider of openings."""

    spec = model.OpeningSpec

    def driver(self, host: Host) -> base.Driver[model.OpeningSpec]:
        """Return the driver for a host."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.over(host, "nat", nat.frame())
        return driver.FragmentDriver(store, model.OpeningSpec, model.fragment)


class Opening(base.Resource, module="nat", name="Opening"):
    """An opening; its inputs are those of `OpeningSpec`."""

    provider = OpeningProvider
