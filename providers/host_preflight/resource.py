"""Pulumi's provider and resource for a lab host's preflight, which only surveys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.preflight import lab_host
from core import errors, problems, run
from hosts import connections
from hosts.host import Host
from providers import base
from providers.preflight.resource import SurveyDriver


class HostPreflightProvider(base.Provider[lab_host.HostPreflightSpec]):
    """Provider of preflights of lab hosts."""

    spec = lab_host.HostPreflightSpec

    def driver(self, host: Host) -> base.Driver[lab_host.HostPreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return SurveyDriver()

    def examine(
        self, spec: lab_host.HostPreflightSpec, _was: Mapping[str, Any]
    ) -> tuple[lab_host.HostPreflightSpec, list[problems.Mistake]]:
        """Survey the server; a shortfall that does not prevent a lab is a warning."""
        try:
            host = connections.connect(spec.host)
            facts = host.call("remote.surveys.lab_host", {})
        except errors.HostError as error:
            return spec, [problems.Mistake("grappe:host", str(error))]
        for text in lab_host.warnings(spec, facts):
            run.report(f"warning: {spec.host}: {text}")
        return spec, lab_host.judge(spec, facts)


class HostPreflight(base.Resource, module="preflight", name="HostPreflight"):
    """A preflight of a lab host; its inputs are those of `HostPreflightSpec`."""

    provider = HostPreflightProvider
