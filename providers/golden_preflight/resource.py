"""The look before a golden image as Pulumi knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers import base, errors, wire
from providers.golden_preflight import model
from providers.hosts import gateway
from providers.preflight import look
from providers.preflight.resource import LookingDriver


class GoldenPreflightDriver(LookingDriver):
    """The preflight of an image's stack, whose delete is the last of all."""

    def sweep(self, spec: model.GoldenPreflightSpec) -> list[str]:
        """Remove whatever of the stack is left; of all its resources, this is the last to go."""
        from providers.leftovers import driver  # noqa: PLC0415 - a destroy alone needs it

        return driver.sweep([spec.host], spec.host, spec.owner, spec.lab)


class GoldenPreflightProvider(base.Provider[model.GoldenPreflightSpec]):
    """Provider of preflights of golden images."""

    spec = model.GoldenPreflightSpec

    def driver(self, host: gateway.Host) -> base.Driver[model.GoldenPreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return GoldenPreflightDriver()

    def examine(
        self, spec: model.GoldenPreflightSpec, _was: Mapping[str, Any]
    ) -> tuple[model.GoldenPreflightSpec, list[wire.Mistake]]:
        """Look at the host, and from it at what the steps need."""
        try:
            host = gateway.connect(spec.host)
        except errors.HostError as error:
            return spec, [wire.Mistake("grappe:host", str(error))]
        _facts, mistakes = look.lasting(
            lambda: look.at(host, [url for _step, url in spec.needs]),
            lambda facts: model.judge(spec, facts),
        )
        return spec, mistakes


class GoldenPreflight(base.Resource, module="preflight", name="GoldenPreflight"):
    """A preflight of a golden image; its inputs are those of `GoldenPreflightSpec`."""

    provider = GoldenPreflightProvider
