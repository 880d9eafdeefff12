"""Pulumi's provider and resource for a backend."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.haproxy import model


class BackendProvider(base.Provider[model.BackendSpec]):
    """Provider of HAProxy backends."""

    spec = model.BackendSpec

    def driver(self, host: Host) -> base.Driver[model.BackendSpec]:
        """Return the driver for a host."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.open_store(host, "haproxy", model.shared_sections())
        return driver.FragmentDriver(store, model.BackendSpec, model.fragment)


class Backend(base.Resource, module="haproxy", name="Backend"):
    """An HAProxy backend; its inputs are those of `BackendSpec`."""

    provider = BackendProvider
