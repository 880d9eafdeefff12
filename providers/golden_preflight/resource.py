"""Pulumi's provider and resource for a golden image's preflight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.preflight import golden
from core import errors, problems
from hosts import connections
from hosts.host import Host
from providers import base
from providers.preflight import surveying
from providers.preflight.resource import SweepingDriver


class GoldenPreflightProvider(base.Provider[golden.GoldenPreflightSpec]):
    """Provider of preflights of golden images."""

    spec = golden.GoldenPreflightSpec

    def driver(self, host: Host) -> base.Driver[golden.GoldenPreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return SweepingDriver()

    def examine(
        self, spec: golden.GoldenPreflightSpec, _was: Mapping[str, Any]
    ) -> tuple[golden.GoldenPreflightSpec, list[problems.Mistake]]:
        """Survey the host, and try from it the URLs that the steps need."""
        try:
            host = connections.connect(spec.host)
        except errors.HostError as error:
            return spec, [problems.Mistake("grappe:host", str(error))]
        _facts, mistakes = surveying.survey_and_confirm(
            lambda: surveying.survey_host(
                host, [url for _step, url in spec.needs], things={"networks": [spec.bridge]}
            ),
            lambda facts: golden.judge(spec, facts),
        )
        return spec, mistakes


class GoldenPreflight(base.Resource, module="preflight", name="GoldenPreflight"):
    """A preflight of a golden image; its inputs are those of `GoldenPreflightSpec`."""

    provider = GoldenPreflightProvider
