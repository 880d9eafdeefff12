"""The judgement of a lab host, a relay and a workstation before a lab is made; pure."""

from __future__ import annotations

from collections.abc import Iterator

from checks import conflicts, dropping_rules, isolation, ufw_denials
from checks.preflight import claims, domains, host, lxd, network, ports
from checks.preflight.spec import PreflightSpec
from core import problems
from core.names import SSH_PORT, WEB_PORTS
from remote.surveys.facts import HostsFileFacts, LabFacts, RelayFacts


def judge(spec: PreflightSpec, facts: LabFacts) -> list[problems.Mistake]:
    """Return everything on the host that prevents the lab.

    Args:
        spec: The lab.
        facts: The result of `remote.surveys.lab`.
    """
    mistakes = [
        *host.programs(spec, facts),
        *host.files(spec, facts),
        *ports.check(spec, facts),
        *ports.proxies(spec, facts),
        *domains.check(spec, facts),
    ]
    if "error" not in facts["lxd"]:
        mistakes += lxd.taken_names(spec, facts["lxd"])
        mistakes += network.subnet(spec, facts)
        mistakes += host.needs(spec, facts)
        mistakes += lxd.missing(spec, facts)
        mistakes += network.interface(spec, facts)
        if host.is_new(spec, facts):
            mistakes += network.namesakes(spec, facts)
        mistakes += host.absent(spec, facts)
    return problems.in_program(mistakes, facts["lxd"].get("program", "lxc"))


def notes(spec: PreflightSpec, facts: LabFacts) -> list[str]:
    """Return the faults and risks that do not stop this lab, and that a teacher should know."""
    targets = {server.port: (server.address, SSH_PORT) for server in spec.servers}
    redirected = conflicts.redirects(facts, [*targets, *WEB_PORTS])
    shut = [
        *(f"{table}: {line}" for table, line in dropping_rules.drops(facts, targets)),
        *(f"nft {table}: {line}" for table, line in conflicts.bans(facts, targets)),
        *(f"nat: {line}" for line in dropping_rules.nat_ends(facts)),
    ]
    return [
        *(f"a rule before UFW's keeps people out of pages or servers: {line}" for line in shut),
        *(f"{key} is passed on unchecked: LXD alone knows it" for key in spec.unchecked),
        *ufw_denials.ineffective(facts, targets),
        *ufw_denials.effective(facts, targets),
        *(
            f"a rule before UFW's lets servers reach {breach.whom}, past the isolation: "
            f"{breach.line}. To close it: {breach.do}"
            for breach in isolation.breaches(facts)
        ),
        *(f"{', '.join(map(str, ports))} is redirected too: {line}" for ports, line in redirected),
        *network.unowned_address(spec, facts),
        *lxd.unlimited(spec, facts),
        *lxd.shared(spec, facts["lxd"]),
        *(
            f"{line} takes every server's ports away at each reload of UFW: remove that line"
            for line in facts.get("ufw_sysctl", ())
        ),
        *(() if host.is_new(spec, facts) else lxd.brought(spec, facts["lxd"])),
        *(
            f"{spec.host}: {problem}. On the host: {do}"
            for problem, do in (() if host.is_new(spec, facts) else conflicts.obstacles(facts))
        ),
    ]


def judge_relay(spec: PreflightSpec, facts: RelayFacts) -> Iterator[problems.Mistake]:
    """Yield everything on the relay that prevents the tunnel; `facts` is the relay's survey."""
    holders, own = claims.holders(spec, facts), claims.own_keys(spec, facts)
    listening = {entry["port"]: entry["program"] for entry in facts["listening"]}
    if facts["shut_out"]:
        yield problems.Mistake("grappe:tunnel.relay", f"on the relay {facts['shut_out']}.")
    for index, port in enumerate(spec.listens):
        setting, key = f"grappe:tunnel.forwards[{index}].listen", f"port {port} of the relay"
        if holder := holders.get(key):
            yield problems.Mistake(setting, f"{port} of the relay is {holder}.")
        elif port in listening and key not in own:
            reason = f"{port} is in use on the relay, by {listening[port]}."
            yield problems.Mistake(setting, reason)
        if port < facts["unprivileged"]:
            yield problems.Mistake(
                setting,
                f"{port} is root's alone on the relay, and a tunnel does not run as root: use a "
                f"port from {facts['unprivileged']} on; or there: sysctl -w "
                f"net.ipv4.ip_unprivileged_port_start={port}",
            )


def judge_workstation(
    spec: PreflightSpec, facts: HostsFileFacts, address: str
) -> Iterator[problems.Mistake]:
    """Yield everything on the workstation that prevents the lab's hosts entries.

    Args:
        spec: The lab.
        facts: What `surveys.hosts_file` returned.
        address: The address that students dial.
    """
    for path, (reason, do) in facts["fixed"].items():
        yield problems.Mistake("grappe:workstation", f"{path} {reason}. There: {do}")
    for line in conflicts.other_addresses(facts, address):
        yield problems.Mistake(
            "grappe:workstation",
            f"the hosts file of {spec.workstation} maps a domain of the lab to another address "
            f"than {address}; {line}. Remove the domain from that line",
        )
