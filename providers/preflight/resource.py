"""The preflight as Pulumi knows it: its check looks at the host, and there it ends."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from typing import TYPE_CHECKING, Any

from providers import base, errors, wire
from providers.hosts import gateway
from providers.lxd import daemon
from providers.preflight import look, model

if TYPE_CHECKING:
    import pulumi


# What a look has found out, as fields of the spec, and what is wrong.
Examined = tuple[dict[str, Any], list[wire.Mistake]]

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
        # While the hosts are reached and looked at.
        daemon.reach(spec.host)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            parts = [pool.submit(_examine_host, spec)]
            if spec.relay:
                parts.append(pool.submit(_examine_relay, spec))
            found = [part.result() for part in parts]
        learnt = {key: value for part, _mistakes in found for key, value in part.items()}
        return dataclasses.replace(spec, **learnt), [item for _, told in found for item in told]


def _examine_host(spec: model.PreflightSpec) -> Examined:
    try:
        host = gateway.connect(spec.host)
    except errors.HostError as error:
        return {}, [wire.Mistake("grappe:host", str(error))]
    mistakes = model.judge(spec, look.at(host, [url for _step, url in spec.needs]))
    address = spec.address or host.address
    if not address:
        reason = f"is not set, and {spec.host} was reached at no IPv4 address."
        mistakes.append(wire.Mistake("grappe:address", f"{reason} Which do students dial?"))
    return {"address": address}, mistakes


def _examine_relay(spec: model.PreflightSpec) -> Examined:
    """Look at the relay; learn from it where it is and its host key, over a checked connection."""
    try:
        relay = gateway.connect(spec.relay)
        keys = relay.run(["sh", "-c", HOST_KEYS])
    except errors.HostError as error:
        return {}, [wire.Mistake("grappe:tunnel.relay", str(error))]
    mistakes = list(model.judge_relay(spec, look.at(relay)))
    key = " ".join(keys.stdout.split()[:2])
    if not key or not relay.address:
        reason = f"{spec.relay} has no host key that could be pinned, or no IPv4 address."
        mistakes.append(wire.Mistake("grappe:tunnel.relay", reason))
    port = relay.where.port or model.PreflightSpec.relay_port
    return {"relay_address": relay.address, "relay_port": port, "relay_key": key}, mistakes


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
