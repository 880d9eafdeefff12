"""The ports of a lab's servers and devices, against those that are taken; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from checks import conflicts
from checks.preflight import claims
from checks.preflight.spec import PreflightSpec
from core import problems
from core.names import WEB_PORTS
from remote import daemons, haproxy_unit
from remote.surveys.facts import LabFacts
from remote.unmanaged import nat as unmanaged_nat


def check(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse ports that are held, in use, or redirected."""
    holders, own = claims.holders(spec, facts), claims.own_keys(spec, facts)
    listening = {entry["port"]: entry["program"] for entry in facts["listening"]}
    for index, server in enumerate(spec.servers):
        key = f"grappe:servers[{index}].port"
        if holder := holders.get(f"tcp/{server.port}"):
            yield problems.Mistake(key, f"{server.port} is {holder}.")
        elif (mine := own.get(f"tcp/{server.port}", server.name)) != server.name:
            yield problems.Mistake(key, claims.still_held(server.port, mine, server.name))
        elif server.port in listening:
            program = listening[server.port]
            reason = f"{server.port} is in use on the host, by {program}."
            if way_out := conflicts.publisher(program, [server.port]):
                reason += f" On the host: {way_out}"
            yield problems.Mistake(key, reason)
    for listener in conflicts.listeners(facts):
        if not (spec.adopt and listener.startswith(haproxy_unit.CONFIG)):
            yield problems.Mistake(
                "grappe:host", f"HAProxy needs a port that is in use: {listener}."
            )
    yield from _redirects(spec, facts, own)


def proxies(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse devices that would take ports of pages, of other labs, or of programs on the host."""
    own = {server.port: f"the SSH port of {server.name}" for server in spec.servers}
    pages = dict.fromkeys(WEB_PORTS, "where the pages of all labs come in")
    # A proxy that is up already is LXD's own program.
    programs = {
        entry["port"]: f"in use on the host, by {entry['program']}"
        for entry in facts["listening"]
        if entry["program"] not in daemons.PROXIES
    }
    others = {
        int(key.removeprefix("tcp/")): holder
        for key, holder in claims.holders(spec, facts).items()
        if key.startswith("tcp/")
    }
    taken = {**programs, **others, **own, **pages}
    for proxy in spec.proxies:
        for port in sorted(port for port in taken if proxy.first <= port <= proxy.last):
            yield problems.Mistake(proxy.key, f"{port} is {taken[port]}.")


def _redirects(
    spec: PreflightSpec, facts: LabFacts, own: Mapping[str, str]
) -> Iterator[problems.Mistake]:
    """Refuse ports that a loaded NAT rule leads elsewhere; `adopt` takes over the sheet's rules."""
    indices = {server.port: index for index, server in enumerate(spec.servers)}
    # A rule that came after the lab was up is only a note, and a finding of doctor's.
    new = [port for port in indices if f"tcp/{port}" not in own]
    web = WEB_PORTS if len(new) == len(indices) else ()
    for ports, line in conflicts.redirects(facts, [*new, *web]):
        if spec.adopt and unmanaged_nat.key(line) in {f"tcp/{port}" for port in ports}:
            continue
        first = next((port for port in ports if port in indices), None)
        key = "grappe:host" if first is None else f"grappe:servers[{indices[first]}].port"
        listed = ", ".join(map(str, ports))
        stop = conflicts.publisher(line, ports) or (
            "remove that rule" + ("" if first is None else ", or give the server another port")
        )
        reason = f"{listed} is already redirected on the host: {line}. On the host: {stop}"
        yield problems.Mistake(key, reason)
