"""The preflight as Pulumi knows it: its check looks at the host, and there it ends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from providers import base, errors, wire
from providers.hosts import gateway
from providers.preflight import look, model

if TYPE_CHECKING:
    import pulumi


class PreflightDriver:
    """A preflight leaves nothing on the host."""

    def create(self, spec: model.PreflightSpec) -> base.Outputs:
        """Do nothing: the check has looked."""
        del spec
        return {}

    def read(self, spec: model.PreflightSpec) -> base.Reading[model.PreflightSpec]:
        """Return the spec; what drifts is read by the resource it belongs to."""
        return base.Reading(spec)

    def update(self, old: model.PreflightSpec, new: model.PreflightSpec) -> base.Outputs:
        """Do nothing."""
        del old
        return self.create(new)

    def delete(self, spec: model.PreflightSpec) -> None:
        """Do nothing."""


class PreflightProvider(base.Provider[model.PreflightSpec]):
    """Provider of preflights."""

    spec = model.PreflightSpec

    def driver(self, host: gateway.Host) -> base.Driver[model.PreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return PreflightDriver()

    def examine(self, spec: model.PreflightSpec) -> tuple[model.PreflightSpec, list[wire.Mistake]]:
        """Look at the host; learn from it the address that students dial."""
        try:
            host = gateway.connect(spec.host)
        except errors.HostError as error:
            return spec, [wire.Mistake("grappe:host", str(error))]
        mistakes = model.judge(spec, look.at(host, [url for _step, url in spec.needs]))
        address = spec.address or host.address
        if not address:
            reason = f"is not set, and {spec.host} was reached at no IPv4 address."
            mistakes.append(wire.Mistake("grappe:address", f"{reason} Which do students dial?"))
        return dataclasses.replace(spec, address=address), mistakes


class Preflight(base.Resource, module="preflight", name="Preflight"):
    """A preflight; its inputs are those of `PreflightSpec`.

    Attributes:
        address: The address of the lab host that students dial.
    """

    provider = PreflightProvider
    address: pulumi.Output[str]
