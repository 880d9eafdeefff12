"""Pulumi's provider and resource for a hosts entry."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.hosts_file import model


class EntryProvider(base.Provider[model.EntrySpec]):
    """Provider of hosts entries."""

    spec = model.EntrySpec

    def driver(self, host: Host) -> base.Driver[model.EntrySpec]:
        """Return the driver for a workstation."""
        from providers.fragments import client, driver  # noqa: PLC0415
        from providers.hosts_file import printed  # noqa: PLC0415

        if not host.may_be_root:
            return printed.PrintedDriver(host)
        store = client.open_store(host, "hosts", model.shared_sections(host.etc_hosts))
        return driver.FragmentDriver(store, model.EntrySpec, model.fragment)


class Entry(base.Resource, module="hosts", name="Entry"):
    """A hosts entry; its inputs are those of `EntrySpec`, its `host` the workstation."""

    provider = EntryProvider
