"""The preflight as Pulumi knows it: its check looks at the host, and there it ends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from providers import base, errors, wire
from providers.hosts import gateway
from providers.preflight import look, model

if TYPE_CHECKING:
    import pulumi


# The best host key first.
HOST_KEYS = "cd /etc/ssh; cat ssh_host_ed25519_key.pub ssh_host_ecdsa_key.pub 2>/dev/null; true"


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
        spec = dataclasses.replace(spec, address=address)
        if not spec.relay:
            return spec, mistakes
        spec, more = _examine_relay(spec)
        return spec, mistakes + more


def _examine_relay(spec: model.PreflightSpec) -> tuple[model.PreflightSpec, list[wire.Mistake]]:
    """Look at the relay; learn from it where it is and its host key, over a checked connection."""
    try:
        relay = gateway.connect(spec.relay)
        keys = relay.run(["sh", "-c", HOST_KEYS])
    except errors.HostError as error:
        return spec, [wire.Mistake("grappe:tunnel.relay", str(error))]
    mistakes = list(model.judge_relay(spec, look.at(relay)))
    key = " ".join(keys.stdout.split()[:2])
    if not key or not relay.address:
        reason = f"{spec.relay} has no host key that could be pinned, or no IPv4 address."
        mistakes.append(wire.Mistake("grappe:tunnel.relay", reason))
    port = relay.where.port or model.PreflightSpec.relay_port
    found = dataclasses.replace(spec, relay_address=relay.address, relay_port=port, relay_key=key)
    return found, mistakes


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
