"""What is wrong with a lab host, by what was read of it; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from providers import errors
from providers.fragments import document
from providers.haproxy import by_hand as haproxy_by_hand
from providers.nat import by_hand as nat_by_hand

OWNER = "user.grappe.owner"
# A disk or a memory of which less is free is a finding.
FREE_PART = 0.1
# How many inotify instances a server has, as counted in a real YunoHost 12.1; room for fewer
# servers than this is a finding.
SERVER_INOTIFY, FEW_SERVERS = 25, 2
DAY = 86400
CERTIFICATE_DAYS = 14
DNAT = "GRAPPE-DNAT"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: What is wrong, in one sentence.
        do: What mends it, as a command where there is one.
        seen: What was read.
    """

    what: str
    do: str
    seen: str = ""


def judge(facts: Mapping[str, Any], owners: Collection[str]) -> list[Finding]:
    """Return everything that is wrong with a host.

    Args:
        facts: What `survey.main` returned.
        owners: The stacks that are known here, as `project/stack`.

    """
    return [
        *_programs(facts),
        *_ufw(facts),
        *_nat(facts),
        *_haproxy(facts),
        *_parts(facts),
        *_leftovers(facts, owners),
        *_tunnels(facts),
        *_room(facts),
        *_servers(facts),
    ]


def _programs(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for program in facts["missing"]:
        yield Finding(f"{program} is not installed", "./lab new HOST --lab-host makes a lab host")
    if error := facts["lxd"].get("error"):
        yield Finding("LXD does not work", "systemctl status lxd; journalctl -u lxd", error)


def _ufw(facts: Mapping[str, Any]) -> Iterator[Finding]:
    ufw = facts["ufw"]
    if not ufw["enabled"]:
        seen = "its rules are still loaded, until the next boot" if ufw["active"] else ""
        yield Finding(
            "UFW is disabled: nothing keeps one student's servers from another's",
            "ufw allow ssh && ufw enable", seen,
        )  # fmt: skip
    elif not ufw["active"]:
        yield Finding("UFW is enabled, and its rules are not loaded", "ufw reload")
    if facts["fragments"] and not ufw["init"]:
        yield Finding(
            "/etc/ufw/before.init is not executable: a restart of UFW loses the way to the rules",
            "chmod u+x /etc/ufw/before.init",
        )
    if facts["forwarding"] != "1":
        yield Finding(
            "the kernel forwards nothing: no port leads to any server",
            "sysctl -w net.ipv4.ip_forward=1", "net.ipv4.ip_forward = " + facts["forwarding"],
        )  # fmt: skip


def _nat(facts: Mapping[str, Any]) -> Iterator[Finding]:
    rules = [line for line in facts["nat"] if line.startswith("-A ")]
    seen: dict[str, int] = defaultdict(int)
    for line in rules:
        if " -j DNAT" in line:
            seen[line] += 1
    for line, count in seen.items():
        if count > 1:
            yield Finding(f"a rule is loaded {count} times", f"iptables -t nat -D {line[3:]}", line)
    by_hand = {nat_by_hand.key(line) for line in rules} - {""}
    ours = {key for fragment in facts["fragments"] for key in fragment["keys"]}
    for key in sorted(by_hand & ours):
        yield Finding(
            f"{key} is led by a rule by hand before Grappe's",
            "iptables -t nat -S PREROUTING, then -D it; or grappe:adopt: true",
        )
    has_rules = any(key.startswith(("tcp/", "udp/")) for key in ours)
    if has_rules and f"-A PREROUTING -j {DNAT}" not in rules:
        yield Finding(
            f"nothing leads to the chain {DNAT}: no port leads to any server", "./lab up STACK"
        )
    unit = facts["units"]["grappe-nat"]
    if has_rules and unit.get("UnitFileState") != "enabled":
        yield Finding(
            "grappe-nat.service is not enabled: a boot without UFW loses the rules",
            "systemctl enable grappe-nat", f"it is {unit.get('UnitFileState') or 'not there'}",
        )  # fmt: skip


def _haproxy(facts: Mapping[str, Any]) -> Iterator[Finding]:
    if facts["loaded"]:
        yield Finding(
            "haproxy.cfg is not valid: the next reload or boot fails",
            "haproxy -c -f /etc/haproxy/haproxy.cfg", _first(facts["loaded"]),
        )  # fmt: skip
    routed = any(key.startswith("domain ") for f in facts["fragments"] for key in f["keys"])
    if routed and facts["units"]["haproxy"].get("ActiveState") != "active":
        yield Finding("HAProxy does not run: no domain answers", "systemctl start haproxy")
    text = facts["files"].get("/etc/haproxy/haproxy.cfg") or ""
    try:
        strays = haproxy_by_hand.domains(text)
    except document.DamagedError:
        return
    if strays:
        yield Finding(
            "domains are routed by hand beside Grappe's part", "grappe:adopt: true takes them over",
            ", ".join(sorted(strays)),
        )  # fmt: skip


def _parts(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for path, text in facts["files"].items():
        try:
            document.split(text or "")
        except document.DamagedError as error:
            yield Finding(
                f"the managed part of {path} is damaged",
                "put its first and last line back, or remove the rest of it by hand", str(error),
            )  # fmt: skip


def _leftovers(facts: Mapping[str, Any], owners: Collection[str]) -> Iterator[Finding]:
    if "error" in facts["lxd"]:
        return
    alive = {item["own_address"] for item in facts["instances"]} - {""}
    for fragment in facts["targets"]:
        if (
            fragment["address"]
            and _is_ours(fragment["address"])
            and (fragment["address"] not in alive)
        ):
            stack = fragment["owner"].rpartition("/")[2]
            yield Finding(
                f"{fragment['id']} leads to {fragment['address']}, where no container is",
                f"./lab up {stack}, or ./lab down {stack}",
            )
    for kind, things in (("LXD project", facts["lxd"]["projects"]),
                         ("network", facts["lxd"]["networks"])):  # fmt: skip
        for thing in things:
            owner = thing["config"].get(OWNER, "")
            if owner and owner not in owners:
                yield Finding(
                    f"the {kind} {thing['name']} is of the stack {owner}, which is not here",
                    "./lab new it again with adopt, then ./lab down; or ask who has its state",
                )


def _tunnels(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for name, unit in facts["units"].items():
        if name.startswith("grappe-tunnel-") and unit.get("ActiveState") != "active":
            yield Finding(
                f"the tunnel {name.removeprefix('grappe-tunnel-')} does not stand",
                f"journalctl -u {name}", f"it is {unit.get('ActiveState')}",
            )  # fmt: skip


def _room(facts: Mapping[str, Any]) -> Iterator[Finding]:
    disk, memory = facts["disk"], facts["memory"]
    if disk["free"] < FREE_PART * disk["size"]:
        yield Finding(
            "the disk is almost full", "lxc image list, lxc list --all-projects: what can go?",
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


def _servers(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for item in facts["certificates"]:
        if item["left"] < CERTIFICATE_DAYS * DAY:
            days = int(item["left"] // DAY)
            ends = f"ends in {days} days" if days >= 0 else f"ended {-days} days ago"
            where = f"{item['project']}/{item['server']}"
            yield Finding(
                f"the certificate of {where} {ends}",
                f"lxc exec {item['server']} --project {item['project']} -- "
                "yunohost domain cert renew",
            )
    holders = defaultdict(list)
    for item in facts["host_keys"]:
        holders[item["key"]].append(f"{item['project']}/{item['server']}")
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
