"""The hosts entry as Pulumi knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers import base, errors, wire
from providers.hosts import gateway
from providers.hosts_file import model

AREA = "providers.hosts_file.area.HostsArea"


class EntryProvider(base.Provider[model.EntrySpec]):
    """Provider of hosts entries."""

    spec = model.EntrySpec

    def driver(self, host: gateway.Host) -> base.Driver[model.EntrySpec]:
        """Return the driver for a workstation."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.over(host, "hosts", AREA, model.frame(host.etc_hosts))
        return driver.FragmentDriver(store, model.EntrySpec, model.fragment)

    def examine(
        self, spec: model.EntrySpec, _was: Mapping[str, Any]
    ) -> tuple[model.EntrySpec, list[wire.Mistake]]:
        """See in the preview already whether the workstation's hosts file may be changed."""
        try:
            gateway.connect(spec.host).demand_root()
        except errors.GrappeError as error:
            reason = f"{error}\n(or set it to none: no hosts entries, no probes)"
            return spec, [wire.Mistake("grappe:workstation", reason)]
        return spec, []


class Entry(base.Resource, module="hosts", name="Entry"):
    """A hosts entry; its inputs are those of `EntrySpec`, its `host` the workstation."""

    provider = EntryProvider
