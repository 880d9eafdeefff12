"""The preflight of a lab host as Pulumi knows it: its check looks, and there it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from providers import base, errors, wire
from providers.host_preflight import model
from providers.hosts import gateway
from providers.preflight.resource import LookingDriver

NEEDS = (
    "providers.fragments.document",
    "providers.hosts.plain_http",
    "providers.preflight.survey",
)


class HostPreflightProvider(base.Provider[model.HostPreflightSpec]):
    """Provider of preflights of lab hosts."""

    spec = model.HostPreflightSpec

    def driver(self, host: gateway.Host) -> base.Driver[model.HostPreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return LookingDriver()

    def examine(
        self, spec: model.HostPreflightSpec, _was: Mapping[str, Any]
    ) -> tuple[model.HostPreflightSpec, list[wire.Mistake]]:
        """Look at the server; what the lab can go on with is a warning."""
        try:
            host = gateway.connect(spec.host)
            facts = host.call("providers.host_preflight.survey", {}, needs=NEEDS)
        except errors.HostError as error:
            return spec, [wire.Mistake("grappe:host", str(error))]
        for text in model.warnings(spec, facts):
            sys.stdout.write(errors.escape(f"warning: {spec.host}: {text}") + "\n")
            sys.stdout.flush()
        return spec, model.judge(spec, facts)


class HostPreflight(base.Resource, module="preflight", name="HostPreflight"):
    """A preflight of a lab host; its inputs are those of `HostPreflightSpec`."""

    provider = HostPreflightProvider
