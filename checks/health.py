"""Judge a lab host's health by its survey; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from checks import conflicts, denials, isolation
from core import errors
from remote import haproxy_unit, identity, iptables, managed_block
from remote.surveys.facts import HealthFacts
from remote.unmanaged import haproxy as unmanaged_haproxy

# Less free disk or memory than this part is a finding.
FREE_PART = 0.1
# A server's inotify instances, as counted in a real YunoHost 12.1; room for fewer servers than
# FEW_SERVERS is a finding.
SERVER_INOTIFY, FEW_SERVERS = 25, 2
DAY = 86400
CERTIFICATE_DAYS = 14
DNAT = "GRAPPE-DNAT"
MEND = "./lab up STACK"
# The effect of a missing jump from UFW's chains to each of ours.
LOST = {
    iptables.INPUT: "servers reach the host's own services",
    iptables.FORWARD: "one student's servers reach another's",
    iptables.LET_IN: "no page answers, and no server gets an address",
    iptables.LET_THROUGH: "no port reaches any server, and no server reaches the internet",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of a lab host.

    Attributes:
        what: What is wrong, in one sentence.
        do: The remedy, as a command where there is one.
        seen: What the survey read.
    """

    what: str
    do: str
    seen: str = ""


def judge(facts: HealthFacts, owners: Collection[str]) -> list[Finding]:
    """Return all faults of a host.

    Args:
        facts: The result of `remote.surveys.health`.
        owners: The stacks that this folder knows, as `project/stack`.

    """
    return [
        *_programs(facts),
        *_ufw(facts),
        *_nat(facts),
        *_obstacles(facts),
        *_isolation(facts),
        *_conflicts(facts),
        *_profiles(facts),
        *_haproxy(facts),
        *_parts(facts),
        *_leftovers(facts, owners),
        *_tunnels(facts),
        *_room(facts),
        *_servers(facts),
    ]


def _profiles(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what profiles bring into the labs that use them."""
    used = {tuple(item["profiles"]) for item in facts["instances"] if item["owner"]}
    for names in sorted(used):
        for profile, problem in conflicts.profiles(facts["lxd"], names, conflicts.NIC):
            yield Finding(
                f"LXD's profile {profile} cannot serve labs: {problem}",
                f"lxc profile device remove {profile} DEVICE, or a profile of their own for labs: "
                "grappe:profiles",
            )
    for name in conflicts.namesakes(facts):
        yield Finding(
            f"{name} has a name of Grappe's bridges, whose rules shut it off",
            "give it a name that does not begin with gr-",
        )


def _programs(facts: HealthFacts) -> Iterator[Finding]:
    for program in facts["missing"]:
        yield Finding(f"{program} is not installed", "./lab new HOST --lab-host makes a lab host")
    if error := facts["lxd"].get("error"):
        yield Finding("LXD does not work", "systemctl status lxd; journalctl -u lxd", error)


def _ufw(facts: HealthFacts) -> Iterator[Finding]:
    ufw = facts["ufw"]
    if not ufw["enabled"]:
        seen = "its rules are still loaded, until the next boot" if ufw["active"] else ""
        yield Finding(
            "UFW is disabled: nothing keeps one student's servers from another's",
            "ufw allow ssh && ufw enable", seen,
        )  # fmt: skip
    elif not ufw["active"]:
        yield Finding("UFW is enabled, but its rules are not loaded", "ufw reload")
    for bridge in facts["ipv6"] if _has_rules(facts) else ():
        yield Finding(
            f"IPv6 is on at {bridge}: its servers reach the host and each other by it", MEND
        )
    for script in facts["switched_off"] if _has_rules(facts) else ():
        yield Finding(
            f"{script} is not executable: a restart of UFW loses the NAT rules",
            f"chmod u+x {script}",
        )
    if ufw["enabled"] and ufw["active"] and _has_rules(facts):
        yield from _chains(facts)
    if facts["forwarding"] != "1":
        yield Finding(
            "the kernel does not forward packets: no port reaches any server",
            "sysctl -w net.ipv4.ip_forward=1", "net.ipv4.ip_forward = " + facts["forwarding"],
        )  # fmt: skip
    for line in facts.get("ufw_sysctl", ()) if _has_rules(facts) else ():
        yield Finding(
            "each reload of UFW ends forwarding: no port reaches any server then",
            "remove that line, or set it to 1", line,
        )  # fmt: skip
    for interface in facts["unforwarded"] if _has_rules(facts) else ():
        yield Finding(
            f"the kernel forwards no packets that come in by {interface}",
            f"sysctl -w net.ipv4.conf.{interface}.forwarding=1",
        )


def _chains(facts: HealthFacts) -> Iterator[Finding]:
    """Yield how the loaded chains differ from the wanted ones."""
    loaded = iptables.Chains(facts["chains"])
    for ours, chain in iptables.JUMPS.items():
        if not loaded.leads_to(chain):
            hook = chain.rpartition("-")[2].upper()
            yield Finding(f"{hook} has no jump to {chain}: {LOST[ours]}", "ufw reload")
        if not loaded.has_jump("filter", chain, ours):
            yield Finding(f"{chain} has no jump to {ours}: {LOST[ours]}", MEND)
            continue
        wanted = _wanted_rules(facts, ours)
        # A part that is gone is a finding of its own.
        if wanted and (wrong := loaded.compare("filter", ours, wanted, ordered=False)):
            yield Finding(f"{ours} is not what it should be: {LOST[ours]}", MEND, wrong)


def _has_rules(facts: HealthFacts) -> bool:
    """Whether any lab's ports lead to servers."""
    held = (key for fragment in facts["fragments"] for key in fragment["keys"])
    return any(key.startswith(("tcp/", "udp/")) for key in held)


def _wanted_rules(facts: HealthFacts, chain: str) -> list[str]:
    """Return the rules of one of our chains from our part of before.rules."""
    try:
        part = managed_block.split(facts["files"].get("/etc/ufw/before.rules") or "").body or ""
    except managed_block.DamagedError:
        return []
    return [line for line in part.splitlines() if line.startswith(f"-A {chain} ")]


def _obstacles(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what keeps a lab's parts from being changed, loaded or reached."""
    if facts["fragments"]:
        for problem, do in conflicts.obstacles(facts):
            yield Finding(problem, do)
        for table, rule in conflicts.bans(facts, _forwarded(facts)):
            yield Finding(
                f"a rule of nft's table {table} keeps people out of pages or servers",
                f"nft list table {table} shows whom; if fail2ban made it: fail2ban-client banned",
                rule,
            )
        for table, line in conflicts.drops(facts, _forwarded(facts)):
            named = "" if table == "filter" else f"-t {table} "
            yield Finding(
                "a rule before UFW's keeps people out of pages or servers",
                f"if that is not intended: iptables {named}-D {line[3:]}", f"{named}{line}",
            )  # fmt: skip


def _isolation(facts: HealthFacts) -> Iterator[Finding]:
    """Yield the rules of others that void the isolation."""
    for whom, line in isolation.opens(facts) if facts["fragments"] else ():
        yield Finding(
            f"a rule before UFW's lets servers reach {whom}, past the isolation",
            f"iptables -D {line[3:]}; in its place, where it is needed: ufw allow, or ufw route "
            "allow, which Grappe's drops precede", line,
        )  # fmt: skip


def _forwarded(facts: HealthFacts) -> list[int]:
    """Return the ports of the host that lead to servers."""
    return sorted({item["port"] for item in facts["targets"] if item.get("port")})


def _conflicts(facts: HealthFacts) -> Iterator[Finding]:
    """Yield findings about others' listeners, rules and routes that take a lab's traffic."""
    if not facts["fragments"]:
        return
    for listener in conflicts.listeners(facts):
        yield Finding(
            "another program listens on HAProxy's ports and gets part of the requests",
            "remove it, or give it another port; then ./lab up STACK", listener,
        )  # fmt: skip
    targets = {item["port"]: (item["address"], item["there"]) for item in facts["targets"]
               if item.get("port")}  # fmt: skip
    for ports, line in conflicts.redirects(facts, [*targets, *conflicts.WEB_PORTS]):
        listed = ", ".join(map(str, ports))
        yield Finding(f"{listed} is redirected too", "remove that rule", line)
    for line in denials.void(facts, targets):
        yield Finding(line, "the rule above")
    for line in denials.effective(facts, targets):
        yield Finding(line, "if that is not intended: ufw status numbered, ufw delete NUMBER")
    if "error" not in facts["lxd"]:
        for network in facts["lxd"]["networks"]:
            subnet = _subnet(network)
            for line in conflicts.routes(facts, subnet, network["name"]) if subnet else ():
                yield Finding(
                    f"the servers on {network['name']} are unreachable: a route leads elsewhere",
                    conflicts.removal_command(line), line,
                )  # fmt: skip
            if subnet and not any(subnet in line for line in facts["masquerades"]):
                yield Finding(
                    f"the servers on {network['name']} do not reach the internet: LXD's "
                    "masquerade rule is missing",
                    "systemctl restart lxd, which leaves its containers running",
                )


def _subnet(network: Mapping[str, Any]) -> str:
    """Return the network of a student's bridge; nothing for any other bridge."""
    address = network["config"].get("ipv4.address", "")
    if not network["config"].get(identity.OWNER) or "/" not in address:
        return ""
    return str(ipaddress.IPv4Interface(address).network)


def _nat(facts: HealthFacts) -> Iterator[Finding]:
    rules = [line for line in facts["nat"] if line.startswith("-A ")]
    counts: dict[str, int] = defaultdict(int)
    for line in rules:
        if " -j DNAT" in line:
            counts[line] += 1
    for line, count in counts.items():
        if count > 1:
            yield Finding(f"a rule is loaded {count} times", f"iptables -t nat -D {line[3:]}", line)
    has_rules = _has_rules(facts)
    for line in conflicts.nat_ends(facts) if has_rules else ():
        yield Finding("a rule of NAT keeps people from every server's ports", MEND, line)
    if has_rules and f"-A PREROUTING -j {DNAT}" not in rules:
        yield Finding(
            f"PREROUTING has no jump to {DNAT}: no port reaches any server", "./lab up STACK"
        )
    for path in facts["copies"]:
        yield Finding(
            f"{path} has a copy of Grappe's rules: a boot brings them back, also those of labs "
            "that are down",
            f"take the lines with {iptables.OURS} out of it",
        )
    unit = facts["units"]["grappe-nat"]
    if has_rules and unit.get("UnitFileState") != "enabled":
        yield Finding(
            "grappe-nat.service is not enabled: a boot without UFW loses the rules",
            "systemctl enable grappe-nat", f"it is {unit.get('UnitFileState') or 'not there'}",
        )  # fmt: skip


def _haproxy(facts: HealthFacts) -> Iterator[Finding]:
    if facts["loaded"]:
        yield Finding(
            "haproxy.cfg is not valid: the next reload or boot fails",
            f"haproxy -c -f {haproxy_unit.CONFIG}", _first(facts["loaded"]),
        )  # fmt: skip
    routed = any(key.startswith("domain ") for f in facts["fragments"] for key in f["keys"])
    if routed and facts["units"]["haproxy"].get("ActiveState") != "active":
        yield Finding(
            "HAProxy does not run: no domain answers",
            "systemctl start haproxy; where that fails: journalctl -n 20 -u haproxy",
        )
    for name in ("haproxy", "ufw") if facts["fragments"] else ():
        if facts["units"][name].get("UnitFileState") in ("disabled", "masked"):
            yield Finding(
                f"{name}.service is {facts['units'][name]['UnitFileState']}: it does not start at "
                "a boot",
                f"systemctl unmask {name}; systemctl enable {name}",
            )
    text = facts["files"].get(haproxy_unit.CONFIG) or ""
    try:
        strays = unmanaged_haproxy.domains(text)
    except managed_block.DamagedError:
        return
    if strays:
        yield Finding(
            "somebody routes domains by hand beside Grappe's part",
            "grappe:adopt: true takes them over",
            ", ".join(sorted(strays)),
        )  # fmt: skip


def _parts(facts: HealthFacts) -> Iterator[Finding]:
    for path, text in facts["files"].items():
        try:
            part = managed_block.split(text or "")
        except managed_block.DamagedError as error:
            yield Finding(
                f"the managed part of {path} is damaged",
                "put its first and last line back, or remove the rest of it by hand", str(error),
            )  # fmt: skip
            continue
        if part.body is None and _has_rules(facts):
            yield Finding(f"Grappe's part of {path} is missing: the next reload loses it", MEND)


def _leftovers(facts: HealthFacts, owners: Collection[str]) -> Iterator[Finding]:
    if "error" in facts["lxd"]:
        return
    alive = {item["own_address"] for item in facts["instances"]} - {""}
    for fragment in facts["targets"]:
        if (
            fragment["address"]
            and _is_ours(fragment["address"])
            and (fragment["address"] not in alive)
        ):
            stack = identity.stack_of(fragment["owner"])
            yield Finding(
                f"{fragment['id']} leads to {fragment['address']}, where there is no container",
                f"./lab up {stack}, or ./lab down {stack}",
            )
    for kind, things in (("LXD project", facts["lxd"]["projects"]),
                         ("network", facts["lxd"]["networks"])):  # fmt: skip
        for thing in things:
            owner = thing["config"].get(identity.OWNER, "")
            if owner and owner not in owners:
                yield Finding(
                    f"the {kind} {thing['name']} is of the stack {owner}, which is not here",
                    "recreate its stack file with adopt, then ./lab down; or ask the owner of "
                    "its state",
                )


def _tunnels(facts: HealthFacts) -> Iterator[Finding]:
    for name, unit in facts["units"].items():
        if name.startswith("grappe-tunnel-") and unit.get("ActiveState") != "active":
            yield Finding(
                f"the tunnel {name.removeprefix('grappe-tunnel-')} is not up",
                f"journalctl -u {name}", f"it is {unit.get('ActiveState')}",
            )  # fmt: skip


def _room(facts: HealthFacts) -> Iterator[Finding]:
    disk, memory = facts["disk"], facts["memory"]
    if disk["free"] < FREE_PART * disk["size"]:
        yield Finding(
            "the disk is almost full",
            "remove what nobody needs: lxc image list, lxc list --all-projects",
            f"{disk['free'] / 2**30:.1f} of {disk['size'] / 2**30:.1f} GiB are free",
        )  # fmt: skip
    if memory["MemAvailable"] < FREE_PART * memory["MemTotal"]:
        yield Finding(
            "memory is almost used up", "./lab top HOST",
            f"{memory['MemAvailable'] >> 20} of {memory['MemTotal'] >> 20} MiB are free",
        )  # fmt: skip

    inotify = facts["inotify"]
    left = max(0, inotify["limit"] - inotify["used"]) // SERVER_INOTIFY
    if left < FEW_SERVERS:
        servers = "server" if left == 1 else "servers"
        yield Finding(
            f"the kernel has room for {left} more {servers} or so", errors.MORE_ROOM,
            f"{inotify['used']} of {inotify['limit']} inotify instances are in use",
        )  # fmt: skip


def _servers(facts: HealthFacts) -> Iterator[Finding]:
    for item in facts["certificates"]:
        if item["left"] < CERTIFICATE_DAYS * DAY:
            days = int(item["left"] // DAY)
            ends = f"ends in {days} days" if days >= 0 else f"ended {-days} days ago"
            server = f"{item['project']}/{item['server']}"
            yield Finding(
                f"the certificate of {server} {ends}",
                f"lxc exec {item['server']} --project {item['project']} -- "
                "yunohost domain cert renew",
            )
    holders = defaultdict(list)
    for host_key in facts["host_keys"]:
        holders[host_key["key"]].append(f"{host_key['project']}/{host_key['server']}")
    for names in holders.values():
        if len(names) > 1:
            yield Finding(
                f"{' and '.join(names)} have the same host key: each can pass for the other",
                "in all but one: rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh",
            )


def _is_ours(address: str) -> bool:
    """Whether an address is on a student's bridge: other fragments lead elsewhere."""
    return ipaddress.ip_address(address) in ipaddress.ip_network("10.64.0.0/12")


def _first(text: str) -> str:
    alerts = [line for line in text.splitlines() if "[ALERT]" in line]
    return alerts[0] if alerts else text.splitlines()[0]
