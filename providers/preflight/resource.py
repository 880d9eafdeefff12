"""The preflight as Pulumi knows it: its check looks at the host, and there it ends."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from checks import lab, losses
from core import codec, errors, problems, run, validators
from hosts import connections
from hosts.host import Host
from providers import base
from providers.lxd import daemon
from providers.preflight import surveying

if TYPE_CHECKING:
    import pulumi


S = TypeVar("S", bound=codec.Spec)
# What a look has found out, as fields of the spec, and what is wrong.
Examined = tuple[dict[str, Any], list[problems.Mistake]]

# The best host key first.
HOST_KEYS = "cd /etc/ssh; cat ssh_host_ed25519_key.pub ssh_host_ecdsa_key.pub 2>/dev/null; true"


class LookingDriver:
    """What only looks, and leaves nothing on the host."""

    def create(self, spec: codec.Spec) -> base.Outputs:
        """Do nothing: the check has looked."""
        del spec
        return {}

    def read(self, spec: S) -> base.Reading[S]:
        """Return the spec; what drifts is read by the resource it belongs to."""
        return base.Reading(spec)

    def update(self, old: codec.Spec, new: codec.Spec) -> base.Outputs:
        """Do nothing."""
        del old
        return self.create(new)

    def delete(self, spec: codec.Spec) -> None:
        """Do nothing."""


class PreflightDriver(LookingDriver):
    """The preflight of a lab, whose delete is the last of all."""

    def sweep(self, spec: lab.PreflightSpec) -> list[str]:
        """Remove whatever of the lab is left; of all its resources, this is the last to go."""
        from providers.leftovers import driver  # noqa: PLC0415 - a destroy alone needs it

        urls = [url for url in (spec.host, spec.workstation, spec.relay) if url not in ("", "none")]
        return driver.sweep(urls, spec.host, spec.owner, spec.lab)


class PreflightProvider(base.Provider[lab.PreflightSpec]):
    """Provider of preflights."""

    spec = lab.PreflightSpec

    def driver(self, host: Host) -> base.Driver[lab.PreflightSpec]:
        """Return the driver, which needs no host."""
        del host
        return PreflightDriver()

    def examine(
        self, spec: lab.PreflightSpec, was: Mapping[str, Any]
    ) -> tuple[lab.PreflightSpec, list[problems.Mistake]]:
        """Look at the host; learn from it the address that students dial."""
        # While the hosts are reached and looked at.
        daemon.reach(spec.host)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            parts = [pool.submit(_examine_host, spec, was)]
            if spec.relay:
                parts.append(pool.submit(_examine_relay, spec))
            found = [part.result() for part in parts]
        learnt = {key: value for part, _mistakes in found for key, value in part.items()}
        return dataclasses.replace(spec, **learnt), [item for _, told in found for item in told]


def _examine_host(spec: lab.PreflightSpec, was: Mapping[str, Any]) -> Examined:
    try:
        host = connections.connect(spec.host)
    except errors.HostError as error:
        return {}, [problems.Mistake("grappe:host", str(error))]
    facts, mistakes = surveying.lasting(
        lambda: surveying.at(host, [url for _step, url in spec.needs], [spec.project]),
        lambda facts: lab.judge(spec, facts),
    )
    try:
        # LXD answers on the host; whether it does by the way that all else goes, this says.
        daemon.on(host).get("")
    except errors.GrappeError as error:
        if not mistakes:
            mistakes.append(problems.Mistake("grappe:host", str(error)))
    for note in lab.notes(spec, facts):
        run.tell(f"note: {note}")
    if was.get("lab") and was["lab"] != spec.lab:
        reason = (
            f"{problems.show(spec.lab)} is another lab's. At the last `up` it was: {was['lab']}"
        )
        mistakes.append(problems.Mistake("grappe:id", reason))
    if spec.login and not was and (problem := validators.problem_of_new_login(spec.login)):
        mistakes.append(problems.Mistake("grappe:login", f"{problems.show(spec.login)} {problem}"))
    if not mistakes:
        mistakes = _losses(spec, was, facts, host)
    address = spec.address or host.address
    if not address:
        reason = f"is not set, and {spec.host} was reached at no IPv4 address."
        mistakes.append(problems.Mistake("grappe:address", f"{reason} Which do students dial?"))
    return {"address": address}, mistakes


def _losses(
    spec: lab.PreflightSpec, was: Mapping[str, Any], facts: Mapping[str, Any], host: Host
) -> list[problems.Mistake]:
    """Refuse, or only tell, what would go that is in servers; who runs us says which."""
    found = losses.of(
        spec, was, facts["instances"], moved=bool(was) and not _is_same(host, was["host"])
    )
    stopped, told = losses.permitted(found, run.rebuild())
    for loss in told:
        if not loss.ordered:
            run.tell(f"warning: what is in {loss.name} goes: {loss.reason}")
    if not stopped:
        return []
    return [problems.Mistake("", losses.refusal(base.stack_of(spec.owner), stopped))]


def _is_same(host: Host, url: str) -> bool:
    """Whether another URL is that of the same machine; one that does not answer is not."""
    if url == host.url:
        return True
    try:
        return connections.connect(url).machine_id == host.machine_id
    except errors.HostError:
        return False


def _examine_relay(spec: lab.PreflightSpec) -> Examined:
    """Look at the relay; learn from it where it is and its host key, over a checked connection."""
    try:
        relay = connections.connect(spec.relay)
        keys = relay.run(["sh", "-c", HOST_KEYS])
    except errors.HostError as error:
        return {}, [problems.Mistake("grappe:tunnel.relay", str(error))]
    _facts, mistakes = surveying.lasting(
        lambda: surveying.at(relay), lambda facts: list(lab.judge_relay(spec, facts))
    )
    key = " ".join(keys.stdout.split()[:2])
    if not key or not relay.address:
        reason = f"{spec.relay} has no host key that could be pinned, or no IPv4 address."
        mistakes.append(problems.Mistake("grappe:tunnel.relay", reason))
    port = relay.where.port or lab.PreflightSpec.relay_port
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
