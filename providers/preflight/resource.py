"""Pulumi's provider and resource for a lab's preflight, which only surveys the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from checks.preflight.spec import PreflightSpec
from core import codec, errors, problems, run
from hosts import connections
from hosts.host import Host
from providers import base

if TYPE_CHECKING:
    import pulumi


S = TypeVar("S", bound=codec.Spec)


class SurveyDriver(base.Driver[Any]):
    """A driver that leaves nothing on the host."""

    def create(self, spec: codec.Spec) -> base.Outputs:
        """Do nothing: the check has surveyed the host."""
        del spec
        return {}

    def read(self, spec: S) -> base.Reading[S]:
        """Return the spec; other resources read their own drift."""
        return base.Reading(spec)

    def delete(self, spec: codec.Spec) -> None:
        """Do nothing."""


class SweepingDriver(SurveyDriver):
    """The preflight of a lab or an image; its delete comes last of all."""

    def sweep(self, spec: Any) -> list[str]:
        """Remove the stack's leftovers from the hosts that its spec names."""
        from providers.leftovers import driver  # noqa: PLC0415 - a destroy alone needs it

        urls = (getattr(spec, role, "none") for role in ("host", "workstation", "relay"))
        named = [url for url in urls if url not in ("", "none")]
        return driver.sweep(named, spec.host, spec.owner, spec.lab)

    def update(self, old: Any, new: Any) -> base.Outputs:
        """Remove the lab's leftovers from a workstation or relay that it no longer uses."""
        for role in ("workstation", "relay"):
            url, wanted = (str(getattr(spec, role, "")) for spec in (old, new))
            if url == wanted or url in ("", "none"):
                continue
            try:
                for thing in self._desert(url, role, wanted, old):
                    base.report(new, [f"removed {thing} from {url}, no longer the lab's {role}"])
            except errors.HostError as error:
                reason = f"{error}. What a killed run left there stays"
                run.report(f"warning: {url}, the {role} of the last `up`: {reason}")
        return {}

    def _desert(self, url: str, role: str, wanted: str, old: Any) -> list[str]:
        from providers.leftovers import driver  # noqa: PLC0415 - few runs change these machines

        machine = connections.connect(url).machine_id
        if wanted not in ("", "none") and connections.is_same_machine(wanted, url, machine):
            return []
        return driver.sweep([url], "", old.owner, old.lab, driver.ON[role])

    def leave(self, spec: Any) -> list[str]:
        """Remove the stack's leftovers from the lab host that its spec names."""
        from providers.leftovers import driver  # noqa: PLC0415 - few runs move a lab

        return driver.sweep([spec.host], spec.host, spec.owner, spec.lab, driver.ON["host"])


class PreflightProvider(base.Provider[PreflightSpec]):
    """Provider of preflights."""

    spec = PreflightSpec

    def driver(self, host: Host) -> base.Driver[PreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return SweepingDriver()

    def examine(
        self, spec: PreflightSpec, was: Mapping[str, Any]
    ) -> tuple[PreflightSpec, list[problems.Mistake]]:
        """Survey the host; find the address that students dial."""
        # The program, which declares resources, need not load it.
        from providers.preflight import examination  # noqa: PLC0415

        return examination.examine(spec, was)


class Preflight(base.Resource, module="preflight", name="Preflight"):
    """A preflight; its inputs are those of `PreflightSpec`.

    Attributes:
        address: The address of the lab host that students dial.
        relay_address: The address of the relay, where there is a tunnel.
        relay_port: The port of its sshd.
        relay_key: Its host key.
    """

    provider = PreflightProvider
    address: pulumi.Output[str]
    relay_address: pulumi.Output[str]
    relay_port: pulumi.Output[int]
    relay_key: pulumi.Output[str]
