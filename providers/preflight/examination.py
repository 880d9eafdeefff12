"""Survey a lab's hosts before anything is planned, and judge what is there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from checks import losses
from checks.preflight import lab as preflight
from checks.preflight.spec import PreflightSpec
from core import errors, problems, run, validators
from hosts import connections
from hosts.host import Host
from providers import base
from providers.lxd import client, daemon
from providers.preflight import surveying
from remote.surveys.facts import HostsFileFacts, LabFacts

# A survey's findings: fields of the spec, and mistakes.
Examined = tuple[dict[str, Any], list[problems.Mistake]]


def examine(
    spec: PreflightSpec, was: Mapping[str, Any]
) -> tuple[PreflightSpec, list[problems.Mistake]]:
    """Survey the hosts; return the spec with the address that students dial, and what is wrong.

    Args:
        spec: The planned lab.
        was: The inputs of the last `up`, by field; empty in a replacement.
    """
    # In the background, during the survey.
    client.connect_ahead(spec.host)
    with run.Pool() as pool:
        parts = [pool.submit(_examine_host, spec, was)]
        if spec.relay:
            parts.append(pool.submit(_examine_relay, spec))
        entries = pool.submit(_survey_hosts_file, spec)
        results = [part.result() for part in parts]
    learnt = {key: value for part, _mistakes in results for key, value in part.items()}
    if (facts := entries.result()) and learnt.get("address"):
        mistakes = list(preflight.judge_workstation(spec, facts, learnt["address"]))
        # A lab that is up may go on as it does.
        for mistake in mistakes if was else ():
            run.report(f"warning: {mistake.reason}")
        results.append(({}, [] if was else mistakes))
    refused = [mistake for _fields, mistakes in results for mistake in mistakes]
    return dataclasses.replace(spec, **learnt), refused


def _examine_host(spec: PreflightSpec, was: Mapping[str, Any]) -> Examined:
    try:
        host = connections.connect(spec.host)
    except errors.HostError as error:
        return {}, [problems.Mistake("grappe:host", str(error))]
    run.current().homes[spec.owner] = (host.machine_id, host.boot_id)
    facts, mistakes = surveying.survey_and_confirm(
        lambda: surveying.survey_host(
            host,
            [url for _step, url in spec.needs],
            [spec.project],
            {
                "networks": [spec.bridge],
                "pools": sorted({pool for _key, pool in spec.pools}),
                **{name: [each for _key, each in getattr(spec, name)] for name in surveying.THINGS},
            },
        ),
        lambda facts: preflight.judge(spec, facts),
    )
    try:
        # The survey found LXD on the host; this tests the path that the drivers use.
        client.on(host).get("")
    except errors.GrappeError as error:
        if not mistakes:
            mistakes.append(problems.Mistake("grappe:host", str(error)))
    for note in preflight.notes(spec, facts):
        run.report(f"note: {note}")
    if was.get("lab") and was["lab"] != spec.lab:
        reason = (
            f"{problems.show(spec.lab)} is another lab's. At the last `up` it was: {was['lab']}"
        )
        mistakes.append(problems.Mistake("grappe:id", reason))
    if spec.login and not was and (problem := validators.problem_of_new_login(spec.login)):
        mistakes.append(problems.Mistake("grappe:login", f"{problems.show(spec.login)} {problem}"))
    if not mistakes:
        lost = _losses(spec, was, facts, host)
        mistakes = problems.in_program(lost, facts["lxd"].get("program", "lxc"))
    address = spec.address or host.address
    if not address:
        reason = f"is not set, and {spec.host} was reached at no IPv4 address."
        mistakes.append(problems.Mistake("grappe:address", f"{reason} Which do students dial?"))
    return {"address": address}, mistakes


def _losses(
    spec: PreflightSpec, was: Mapping[str, Any], facts: LabFacts, host: Host
) -> list[problems.Mistake]:
    """Refuse or only report losses of servers' content, as the run's REBUILD permits."""
    if renamed := list(losses.renamed(spec, was, facts["instances"], run.rebuild())):
        return [problems.Mistake("", line) for line in renamed]
    moved = bool(was) and not _is_same(host, was["host"])
    left = _left(was, spec, facts["instances"], host) if moved else set()
    lost = losses.find(spec, was, facts["instances"], left=left)
    stopped, reported = losses.permitted(lost, run.rebuild())
    for loss in reported:
        if not loss.ordered:
            run.report(f"warning: the content of {loss.name} will be lost: {loss.reason}")
    if not stopped:
        return []
    return [problems.Mistake("", losses.refusal(base.stack_of(spec.owner), stopped))]


def _is_same(host: Host, url: str) -> bool:
    """Whether the URL of before leads to the same machine; false if it does not answer."""
    if url == host.url:
        return True
    try:
        return connections.is_same_machine(url, host.url, host.machine_id)
    except errors.HostError:
        return False


def _left(
    was: Mapping[str, Any], spec: PreflightSpec, here: Sequence[Mapping[str, Any]], wanted: Host
) -> set[str]:
    """Return the servers that the machine of the last `up` has, and volumes without a server there.

    What the wanted host has too is of an interrupted move: volumes that no server has used yet, and
    where the other machine does not answer, servers.
    """
    before = {str(server["name"]): server for server in was.get("servers", ())}
    with contextlib.suppress(errors.GrappeError):
        host = connections.connect(str(was["host"]))
        project = str(was["project"])
        facts = surveying.survey_host(host, projects=[project])
        if not facts["lxd"].get("error"):
            found = losses.used(facts["instances"], spec.owner, spec.lab)
            return found | {
                f"{name}/{volume.partition('/')[2]}"
                for name in before.keys() - found
                for volume in before[name].get("volumes", ())
                if _has_volume(host, project, volume)
                and not _has_volume(wanted, spec.project, volume)
            }
    return before.keys() - losses.finished(here, spec.owner, spec.lab)


def _has_volume(host: Host, project: str, volume: str) -> bool:
    """Whether a host has a volume, named as `pool/name`."""
    pool, _slash, name = volume.partition("/")
    path = f"storage-pools/{pool}/volumes/custom/{name}"
    return daemon.find(client.on(host), path, project=project) is not None


def _survey_hosts_file(spec: PreflightSpec) -> HostsFileFacts | None:
    """Return what the workstation's hosts file says of the lab's domains; None without one."""
    if spec.workstation == "none":
        return None
    domains = [server.domain for server in spec.servers]
    try:
        workstation = connections.connect(spec.workstation)
        request = {"path": workstation.etc_hosts, "domains": domains}
        facts: HostsFileFacts = workstation.call("remote.surveys.hosts_file", request)
    except errors.HostError:
        # Its hosts entries report it.
        return None
    return facts


def _examine_relay(spec: PreflightSpec) -> Examined:
    """Survey the relay; read its address and host key over a verified connection."""
    try:
        relay = connections.connect(spec.relay)
        facts, mistakes = surveying.survey_and_confirm(
            lambda: relay.call("remote.surveys.relay", {"store": relay.store}),
            lambda facts: list(preflight.judge_relay(spec, facts)),
        )
    except errors.HostError as error:
        return {}, [problems.Mistake("grappe:tunnel.relay", str(error))]
    key = facts["host_key"]
    if not key or not relay.address:
        reason = f"{spec.relay} has no host key that could be pinned, or no IPv4 address."
        mistakes.append(problems.Mistake("grappe:tunnel.relay", reason))
    port = relay.parsed_url.port or PreflightSpec.relay_port
    return {"relay_address": relay.address, "relay_port": port, "relay_key": key}, mistakes
