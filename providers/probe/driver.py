"""Run probes from a workstation."""

from __future__ import annotations

from core import codec, errors
from hosts.host import Host
from providers import base
from providers.probe import model


class ProbeDriver(base.Driver[model.ProbeSpec]):
    """Probes from one workstation."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def create(self, spec: model.ProbeSpec) -> base.Outputs:
        """Try until all answer; raise NotReadyError with those that did not, and why."""
        failures = self._failures(spec, spec.seconds)
        stack = base.stack_of(spec.owner)
        if failures:
            raise errors.NotReadyError(
                f"{spec.name} cannot be reached from the workstation ({self._host.url}) "
                f"within {spec.seconds} s",
                seen="\n".join(failures),
                do=f"./lab check {stack} says why, and ./lab doctor {stack} what is wrong on the "
                f"lab host; then: ./lab up {stack} (goes on from here)",
            )
        return {}

    def read(self, spec: model.ProbeSpec) -> base.Reading[model.ProbeSpec]:
        """Try once; a failure is drift, and `create` then tries until the server answers."""
        return base.Reading(spec, drift="; ".join(self._failures(spec, 0)))

    def delete(self, spec: model.ProbeSpec) -> None:
        """Do nothing; a probe leaves nothing."""

    def _failures(self, spec: model.ProbeSpec, seconds: int) -> list[str]:
        request = {"address": spec.address, "checks": codec.encode(spec.checks), "seconds": seconds}
        results = self._host.call("remote.reachability", request, timeout=seconds + 60, root=False)
        return [
            f"{check.kind} {check.domain or spec.address}:{check.port}: {result['seen']}"
            for check, result in zip(spec.checks, results, strict=True)
            if not result["ok"]
        ]
