"""Judge a lab host's health by its survey; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from checks import conflicts, profiles, routing, ufw_denials
from checks.doctor import firewall
from checks.finding import Finding
from core import kernel_limits, names
from core.names import STUDENTS, WEB_PORTS
from remote import haproxy_unit, identity, managed_block
from remote.surveys.facts import HealthFacts
from remote.unmanaged import haproxy as unmanaged_haproxy

# Less free disk or memory than this part is a finding.
FREE_PART = 0.1
# Room for fewer servers than this is a finding.
FEW_SERVERS = 2
DAY = 86400
CERTIFICATE_DAYS = 14


def judge(facts: HealthFacts, owners: Collection[str]) -> list[Finding]:
    """Return all faults of a host.

    Args:
        facts: The result of `remote.surveys.health`.
        owners: The stacks that this folder knows, as `project/stack`.
    """
    findings = [
        *_programs(facts),
        *firewall.judge(facts),
        *_conflicts(facts),
        *_bridges(facts),
        *_profiles(facts),
        *_haproxy(facts),
        *_parts(facts),
        *_leftovers(facts, owners),
        *_tunnels(facts),
        *_room(facts),
        *_servers(facts),
    ]
    program = facts["lxd"].get("program", "lxc")
    return [dataclasses.replace(each, do=names.in_program(each.do, program)) for each in findings]


def _profiles(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what profiles bring into the labs that use them."""
    used = {tuple(item["profiles"]) for item in facts["instances"] if item["owner"]}
    for together in sorted(used):
        for profile, problem in profiles.obstacles(facts["lxd"], together, profiles.NIC):
            yield Finding(
                f"LXD's profile {profile} cannot serve labs: {problem}",
                f"lxc profile device remove {profile} DEVICE, or a profile of their own for labs: "
                "grappe:profiles",
            )
    named = dict.fromkeys(name for together in sorted(used) for name in together)
    for profile, what in profiles.shared(facts["lxd"], list(named)):
        yield Finding(
            f"LXD's profile {profile} {what}",
            f"if that is not intended: lxc profile edit {profile}",
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
    for ports, line in conflicts.redirects(facts, [*targets, *WEB_PORTS]):
        listed = ", ".join(map(str, ports))
        do = conflicts.publisher(line, ports) or "remove that rule"
        yield Finding(f"{listed} is redirected too", do, line)
    for line in ufw_denials.ineffective(facts, targets):
        yield Finding(line, "add the rule that this finding ends with")
    for line in ufw_denials.effective(facts, targets):
        yield Finding(line, "if that is not intended: ufw status numbered, ufw delete NUMBER")


def _bridges(facts: HealthFacts) -> Iterator[Finding]:
    """Yield what cuts off the servers on a student's bridge."""
    if not facts["fragments"]:
        return
    for network in facts["lxd"].get("networks", ()):
        if not (subnet := _subnet(network)):
            continue
        if problem := facts["links"].get(network["name"]):
            yield Finding(f"the bridge {network['name']}: {problem}", "./lab up STACK")
        for line in routing.covering(facts, subnet, network["name"]):
            yield Finding(
                f"the servers on {network['name']} are unreachable: a route leads elsewhere",
                routing.removal_command(line), line,
            )  # fmt: skip
        if not any(subnet in line for line in facts["masquerades"]):
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


def _haproxy(facts: HealthFacts) -> Iterator[Finding]:
    if facts["loaded"]:
        yield Finding(
            "haproxy.cfg is not valid: the next reload or boot fails",
            f"haproxy -c -f {haproxy_unit.CONFIG}", _first_alert(facts["loaded"]),
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
        if part.body is None and firewall.has_rules(facts):
            yield Finding(
                f"Grappe's part of {path} is missing: the next reload loses it", firewall.MEND
            )


def _leftovers(facts: HealthFacts, owners: Collection[str]) -> Iterator[Finding]:
    if "error" in facts["lxd"]:
        return
    alive = {item["own_address"] for item in facts["instances"]} - {""}
    for fragment in facts["targets"]:
        if _is_ours(fragment["address"]) and fragment["address"] not in alive:
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

    tracked = facts["conntrack"]
    if tracked["used"] > tracked["limit"] * (1 - FREE_PART):
        yield Finding(
            "the kernel tracks almost as many connections as it may, and drops what comes then",
            f"sysctl -w net.netfilter.nf_conntrack_max={4 * tracked['limit']}",
            f"{tracked['used']} of {tracked['limit']}",
        )
    inotify = facts["inotify"]
    left = max(0, inotify["limit"] - inotify["used"]) // kernel_limits.INOTIFY_INSTANCES
    if left < FEW_SERVERS:
        servers = "server" if left == 1 else "servers"
        yield Finding(
            f"the kernel has room for {left} more {servers} or so", kernel_limits.INOTIFY_REMEDY,
            f"{inotify['used']} of {inotify['limit']} inotify instances are in use",
        )  # fmt: skip


def _servers(facts: HealthFacts) -> Iterator[Finding]:
    if names := facts["unreadable"]:
        shown = f"{', '.join(names[:3])}{', ...' if names[3:] else ''}"
        yield Finding(
            f"lxcfs died: programs in {len(names)} servers that read /proc/meminfo or /proc/uptime "
            "fail",
            "systemctl restart lxcfs; then restart each: lxc restart NAME --project PROJECT", shown,
        )  # fmt: skip
    for item in facts["certificates"]:
        if item["left"] < CERTIFICATE_DAYS * DAY:
            days = int(item["left"] // DAY)
            ends = f"ends in {days} days" if days >= 0 else f"ended {-days} days ago"
            server = f"{item['project']}/{item['server']}"
            yield Finding(
                f"the certificate of {server} {ends}",
                f"lxc exec {item['server']} --project {item['project']} -- "
                "sh -c 'yunohost domain cert install $(cat /etc/yunohost/current_host) "
                "--self-signed --force'",
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
    return bool(address) and ipaddress.ip_address(address) in STUDENTS


def _first_alert(text: str) -> str:
    alerts = [line for line in text.splitlines() if "[ALERT]" in line]
    return alerts[0] if alerts else text.splitlines()[0]
