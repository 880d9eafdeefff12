"""Pulumi's provider and resource for a NAT rule."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.nat import model


class RuleProvider(base.Provider[model.RuleSpec]):
    """Provider of NAT rules."""

    spec = model.RuleSpec

    def driver(self, host: Host) -> base.Driver[model.RuleSpec]:
        """Return the driver for a host."""
        from providers.fragments import client, driver  # noqa: PLC0415

        store = client.open_store(host, "nat", model.shared_sections())
        return driver.FragmentDriver(store, model.RuleSpec, model.fragment)


class Rule(base.Resource, module="nat", name="Rule"):
    """A NAT rule; its inputs are those of `RuleSpec`."""

    provider = RuleProvider
