"""Others' listeners, NAT rules and routes that conflict with a lab. Pure.

Preflight and doctor share it: a conflict that a preview refuses is a finding where it comes later.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from checks import lab_packets, ufw_denials
from core.names import STUDENTS, WEB_PORTS
from remote import iptables, managed_block
from remote.haproxy_unit import CONFIG
from remote.names import UFW_SCRIPTS
from remote.surveys.facts import HostFacts, HostsFileFacts, Lxd, Route
from remote.unmanaged import haproxy, legacy, nft
from remote.unmanaged import nat as unmanaged_nat

# What Grappe's part of haproxy.cfg calls its sections.
OUR_SECTIONS = ("grappe", "grappe_servers", "grappe_http", "grappe_https")
SSH_PORT, DNS_PORT = 22, 53
# systemd-networkd reads its files by name: this one comes before others.
NETWORKD_FILE = "/etc/systemd/network/00-grappe.network"
# A server's own network device.
NIC = "eth0"
# Labs' bridges are gr-7, those of golden images gr-i7.
_NAMESAKE = re.compile(r"gr-(?!i?\d+$).*")
_OWN_TABLES = {"", "main", "local", "default"}


def listeners(facts: HostFacts) -> Iterator[str]:
    """Yield others that listen on the web's ports: a line of HAProxy's files, or a program."""
    for path, first, part in _configurations(facts):
        for number, ports, line in haproxy.binds(part, facts.get("variables")):
            if ports & set(WEB_PORTS):
                yield f"{path}:{first + number} listens there too: {line}"
    for entry in facts["listening"]:
        if entry["port"] in WEB_PORTS and entry["program"] != "haproxy":
            yield f"port {entry['port']} is taken by {entry['program']}; HAProxy needs it"


def _configurations(facts: HostFacts) -> Iterator[tuple[str, int, str]]:
    """Yield (path, lines before it, text) for each part of HAProxy's files that is not ours."""
    texts = {CONFIG: facts["files"].get(CONFIG) or "", **facts.get("configs", {})}
    for path, text in texts.items():
        try:
            outside = managed_block.split(text)
        except managed_block.DamagedError:
            continue
        after = len((outside.before + (outside.body or "")).splitlines()) + 2
        yield path, 0, outside.before
        yield path, after if outside.body else 0, outside.after


def unchangeable(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) for shared files that cannot be changed, or that no program loads."""
    for path, (reason, do) in sorted(facts.get("fixed", {}).items()):
        yield f"{path} {reason}", do
    for path in UFW_SCRIPTS:
        text = facts["files"].get(path) or ""
        if not unmanaged_nat.is_shell_script(text):
            yield (
                f"{path} is not a shell script ({text.splitlines()[0]}), and Grappe's part is one",
                f"move it, and have a shell script in its place call it with {path}'s arguments",
            )
    for path, first, part in _configurations(facts):
        for number, line in haproxy.peer_unsetting_lines(part):
            yield (
                f"{path}:{first + number} takes HAProxy's own name from Grappe's part: {line}",
                f"let it keep {haproxy.PEER}: in a resetenv beside the others, in no unsetenv",
            )
        for kind, name, _body in haproxy.sections(part):
            if name in OUR_SECTIONS and kind not in ("", "global"):
                yield (
                    f"{path} has a {kind} {name}, a name that Grappe's own part takes",
                    "give it another name",
                )
    if facts.get("haproxy_masked"):
        yield "haproxy.service is masked: it never starts", "systemctl unmask haproxy"
    loads = facts.get("haproxy_loads", [CONFIG])
    if CONFIG not in loads:
        yield (
            f"HAProxy loads {', '.join(loads)}, and not {CONFIG}, where Grappe's part goes",
            f'set CONFIG="{CONFIG}" in /etc/default/haproxy, and more files by EXTRAOPTS="-f FILE"',
        )


def closed_chains(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) for each chain beside UFW's that drops what labs need."""
    outer = {way["device"] for way in facts.get("routes", ()) if way["to"] == "0.0.0.0/0"}
    for chain in (nft.Chain(**entry) for entry in facts.get("filters", ())):
        missing = list(lab_packets.missing_accepts(chain, outer))
        if missing and chain.table == legacy.TABLE:
            yield (
                f"the chain {chain.name} of {legacy.PROGRAM}, beside UFW's, drops what labs need",
                "; ".join(legacy.accepting_command(chain.name, rule) for rule in missing)
                + "; or move its rules to UFW, and flush it",
            )
        elif chain.table in nft.IPTABLES and (missing or chain.policy == "drop"):
            # Its accepts are left from labs that were up while UFW used iptables-nft.
            flush = f"iptables-nft -P {chain.name} ACCEPT; iptables-nft -F {chain.name}"
            yield (
                f"the chain {chain.name} of iptables-nft, beside UFW's legacy one, cuts labs off",
                f"move its rules to UFW; then {flush}",
            )
        elif missing and chain.table.endswith(" firewalld"):
            yield (
                f"firewalld runs beside UFW, and its chain {chain.name} drops what labs need",
                "systemctl disable --now firewalld: UFW is the firewall of a lab host",
            )
        elif missing:
            into = f"{chain.table} {chain.name}"
            yield (
                f"the chain {chain.name} of nft's table {chain.table} drops what labs need",
                "; ".join(f"nft insert rule {into} {rule}" for rule in missing)
                + "; and in the file that makes the table, often /etc/nftables.conf",
            )


def bans(facts: HostFacts, forwarded: Collection[int]) -> Iterator[tuple[str, str]]:
    """Yield the rules of somebody's own nftables that keep people out: the table, the rule.

    Args:
        facts: The host's.
        forwarded: The ports that lead to servers.

    """
    for chain in (nft.Chain(**entry) for entry in facts.get("filters", ())):
        for rule in nft.bans(chain, forwarded):
            yield chain.table, rule


def obstacles(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) for each obstacle to changing, loading or reaching a lab's parts."""
    yield from unchangeable(facts)
    yield from closed_chains(facts)
    yield from ufw_denials.denied_output(facts)
    yield from _bridges_taken(facts)
    for hook in ("INPUT", "FORWARD"):
        lost = [chain for chain in facts.get("unled", ()) if chain.endswith(hook.lower())]
        if lost:
            yield (
                f"{hook} has no jump to {' and '.join(lost)}: UFW's rules, and ours, do not count",
                iptables.ufw_jumps_command(hook),
            )


def _bridges_taken(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) for programs that take labs' bridges or their DNS port from LXD."""
    if path := facts.get("networkd"):
        unmanaged = rf"printf '[Match]\nName=gr-* veth*\n[Link]\nUnmanaged=yes\n' > {NETWORKD_FILE}"
        yield (
            f"systemd-networkd takes over labs' bridges or links, by {path}: their network goes",
            f"{unmanaged}; networkctl reload",
        )
    for entry in facts.get("listening", ()):
        if entry["port"] == DNS_PORT and entry.get("everywhere"):
            taken = f"port {DNS_PORT} of all addresses is taken by {entry['program']}"
            own = "have it listen on its own addresses alone"
            yield (
                f"{taken}; LXD serves DNS on labs' bridges there",
                f"{own}, as by bind-interfaces and listen-address of dnsmasq",
            )


def redirects(facts: HostFacts, ports: Sequence[int]) -> Iterator[tuple[list[int], str]]:
    """Yield (ports, rule) for each loaded NAT rule of others that redirects some of these ports.

    A rule for an address or an interface that the host lacks does not count. If the rules of a
    custom chain name no port, the rule that jumps to the chain names the ports.
    """
    lines = list(facts.get("nat", ()))
    chains = {
        line.partition("-A ")[2].split()[0] for line in lines if unmanaged_nat.redirects_all(line)
    }
    for line in lines:
        taken = unmanaged_nat.redirected_ports(line, chains)
        known = [port for port in ports if any(port in part for part in taken)]
        if known and _applies(line, facts["subnets"]):
            yield known, line


def publisher(program: str, ports: Sequence[int]) -> str:
    """Return how to find and stop what holds ports, where that is a container of Docker's."""
    if not program.startswith(("docker", "-A DOCKER")):
        return ""
    return "; ".join(f"docker ps --filter publish={port}" for port in ports) + "; docker stop NAME"


def _applies(line: str, subnets: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a rule matches an address and an interface of the host."""
    own = [ipaddress.IPv4Interface(entry["subnet"]).ip for entry in subnets]
    interfaces = {entry["interface"] for entry in subnets}
    to = re.search(r"(?<!! )(?:-d|ip daddr) (\d[\d.]*(?:/\d+)?)", line)
    by = re.search(r'(?<!! )(?:-i|iif(?:name)?) "?([\w.+-]+)"?', line)
    if to and own and not any(ip in ipaddress.IPv4Network(to.group(1), strict=False) for ip in own):
        return False
    return not (
        by and interfaces and not by.group(1).endswith("+") and by.group(1) not in interfaces
    )


def routes(facts: HostFacts, subnet: str, bridge: str) -> Iterator[str]:
    """Yield the routes that lead a student's network elsewhere than to its bridge.

    In a table before the main one the longest prefix wins; a `throw` route goes on to the next
    table.
    """
    wanted = ipaddress.IPv4Network(subnet)
    listed = [
        (ipaddress.IPv4Network(route["to"]), route)
        for route in facts.get("routes", ())
        if route["device"] != bridge
    ]
    past = False
    for table, group in itertools.groupby(listed, lambda item: item[1]["table"]):
        if past and table not in _OWN_TABLES:
            continue
        found = list(group)
        over = [item for item in found if wanted.subnet_of(item[0])]
        inside = [item for item in found if item[0] != wanted and item[0].subnet_of(wanted)]
        if table in _OWN_TABLES:
            # A shorter route in the main table loses to the bridge's own.
            over = [item for item in over if item[0] == wanted or _is_throw(item[1])]
        best = max(over, key=lambda item: item[0].prefixlen, default=None)
        for _network, route in [*([best] if best else []), *inside]:
            if not _is_throw(route):
                yield str(route["line"])
        # A policy rule may send the network to the main table: later tables then do not count.
        past = past or bool(best and table in _OWN_TABLES and _is_throw(best[1]))


def _is_throw(route: Route) -> bool:
    return route["line"].startswith("throw ")


def drops(
    facts: HostFacts, forwarded: Collection[int], *, whole: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield (table, rule) for each rule loaded before UFW's own that keeps people out.

    Such a rule drops packets to pages or servers, or exempts them from connection tracking, which
    DNAT needs.

    Args:
        facts: The host's.
        forwarded: The ports that lead to servers.
        whole: True for rules that drop all packets of somebody, False for rules that drop a part.

    """
    own = [ipaddress.IPv4Interface(entry["subnet"]).ip for entry in facts.get("subnets", ())]
    ports = {
        "PREROUTING": (*WEB_PORTS, *forwarded), "INPUT": WEB_PORTS,
        "FORWARD": (SSH_PORT, *WEB_PORTS), "OUTPUT": WEB_PORTS,
        "POSTROUTING": (SSH_PORT, *WEB_PORTS),
    }  # fmt: skip
    for rule in facts.get("before_ufw", ()):
        line = rule["whole"]
        ends = iptables.target(line) in ("DROP", "REJECT", "NOTRACK") or "--notrack" in line
        is_partial = bool(_PARTIAL.search(line))
        if ends and is_partial is not whole and _matches(line, ports[line.split()[1]], own):
            yield rule["table"], rule["line"]


def nat_ends(facts: HostFacts) -> Iterator[str]:
    """Yield the rules that end the NAT of people's packets before the jump to our chain."""
    for line in facts.get("nat", ()):
        if line == f"-A PREROUTING -j {iptables.NAT}":
            return
        if line.startswith("-A PREROUTING ") and iptables.ends_nat(line):
            yield line


# Matches of a part of what people send: too much, or some of its contents.
_PARTIAL = re.compile(r"-m (?:connlimit|hashlimit|length|limit|recent|string|u32)\b")
# Matches of packets that are forged or malformed.
_MALFORMED = re.compile(
    r"INVALID|-m (?:rpfilter|tcpmss)\b|"
    # These flags are `--syn`, which every new connection has: not malformed.
    r"--tcp-flags (?!FIN,SYN,RST,ACK SYN\b)|! --tcp-flags|! --syn| -f |-s \S+ ! -i "
)


def _matches(line: str, ports: Sequence[int], own: Collection[ipaddress.IPv4Address]) -> bool:
    """Whether a rule matches what people send by TCP to these ports of the host or of labs.

    Args:
        line: The rule.
        ports: The ports.
        own: The host's addresses; empty where they are unknown.

    """
    if _MALFORMED.search(line) or _NOT_TO_US.search(line):
        return False
    asked, hook = iptables.conditions(line), line.split()[1]
    protocol, to = asked.get("-p", _ANY), asked.get("-d", _ANY)
    out, by = asked.get("-o", _ANY), asked.get("-i", _ANY)
    sources = _ports(asked, _SOURCES)
    return (
        (protocol.value in ("", "tcp", "all")) is not protocol.negated
        and _leads_here(to, own, hook)
        and (out.value[:3] in ("", "gr-")) is not out.negated
        and not (by.value.startswith(_OTHERS_BRIDGES) and not by.negated)
        and (not sources or any(_CLIENTS in part for part in sources))
        and (
            not (parts := _ports(asked, _DIALLED))
            or any(p in part for p in ports for part in parts)
        )
    )


_ANY = iptables.Condition("")
_DIALLED = ("--dport", "--dports", "--ports", "--ctorigdstport")
_SOURCES = ("--sport", "--sports")
# A port that programs of people dial from.
_CLIENTS = 50000
_OTHERS_BRIDGES = ("docker", "br-", "virbr", "lxd", "incus", "podman", "cni", "lo")
# What nobody sends to a single address of the host.
_NOT_TO_US = re.compile(
    r"--pkt-type (?:broadcast|multicast)|(?<!! )--dst-type (?:BROADCAST|MULTICAST|ANYCAST)\b|"
    r"-m owner\b|(?<!! )--src-type (?:LOCAL|BROADCAST|MULTICAST|ANYCAST)\b|! --dst-type LOCAL\b"
)


def _ports(asked: Mapping[str, iptables.Condition], options: Sequence[str]) -> Sequence[range]:
    """Return the ports that a rule names by one of these options; none for all ports."""
    named = next((asked[option] for option in options if asked.get(option, _ANY).value), _ANY)
    parts = unmanaged_nat.ports_of(named.value) if named.value else ()
    return tuple(unmanaged_nat.all_but(parts)) if named.negated else parts


def _leads_here(to: iptables.Condition, own: Collection[ipaddress.IPv4Address], hook: str) -> bool:
    """Whether a destination is a lab's or the host's, not a container of Docker's."""
    network = iptables.network(to.value or "0.0.0.0/0")
    dialled = [each for each in own if not each.is_loopback]
    # In a hook of INPUT people dial the host; in the others DNAT or HAProxy has dialled a server.
    forwarded = hook in ("FORWARD", *iptables.OUTWARDS)
    if to.negated:
        ours = STUDENTS.subnet_of(network) if forwarded else any(ip in network for ip in dialled)
        return not ours
    if hook in iptables.OUTWARDS:
        return network.overlaps(STUDENTS)
    return not own or network.overlaps(STUDENTS) or any(ip in network for ip in dialled)


def removal_command(line: str) -> str:
    """Return the command that frees labs of a route, or of a routing policy rule."""
    if line.startswith("rule "):
        return f"ip rule del {line[5:]}"
    if " table " in line:
        # Others need the route in that table: send labs to the main table before it.
        return f"ip rule add to {STUDENTS} lookup main priority 1, also where the rules are made"
    return f"ip route del {line}"


def other_addresses(facts: HostsFileFacts, address: str) -> Iterator[str]:
    """Yield the lines of a hosts file by which a lab's domains lead to another address."""
    for line in facts["lines"]:
        if line["address"] != address:
            yield f"line {line['number']} names another address: {line['text']}"


def namesakes(facts: HostFacts) -> Iterator[str]:
    """Yield others' interfaces that begin as Grappe's bridges do: its rules hold for them too."""
    networks = (item["name"] for item in facts["lxd"].get("networks", ()))
    names = {*networks, *(item["interface"] for item in facts.get("subnets", ()))}
    yield from sorted(name for name in names if _NAMESAKE.fullmatch(name))


def profiles(lxd: Lxd, names: Sequence[str], own: str) -> Iterator[tuple[str, str]]:
    """Yield profiles that bring a device that a server may not have, each with the reason.

    Args:
        lxd: The survey of the daemon.
        names: The profiles, in order.
        own: The name of a server's own network device, which overrides a profile's of that name.

    """
    brings = lxd.get("brings", {})
    for name in names:
        for device, settings in sorted(brings.get(name, {}).items()):
            if settings.get("type") == "proxy" and settings.get("bind", "host") == "host":
                listen = settings.get("listen", "?")
                yield name, f"its device {device} listens at {listen}, which one server alone can"
            source = settings.get("source", "")
            needed = settings.get("required", "true") != "false"
            if needed and "pool" not in settings and source in lxd.get("gone", ()):
                yield name, f"the host has no {source}, which its device {device} brings"
            if settings.get("type") != "nic" or device == own:
                continue
            network = settings.get("network") or settings.get("parent") or "?"
            called = settings.get("name", device)
            why = (
                f"is called {own} inside, as the server's own" if called == own else
                "is a second way out of the server, past the isolation of students"
            )  # fmt: skip
            yield name, f"its device {device} (network {network}) {why}"
    rooted = any(
        settings.get("type") == "disk" and settings.get("path") == "/"
        for name in names
        for settings in brings.get(name, {}).values()
    )
    if brings and not rooted and set(names) <= brings.keys():
        yield names[-1] if names else "", "none of them has a root disk"


def shared(lxd: Lxd, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (profile, fault) for settings that let every student harm the host or the others.

    Args:
        lxd: The survey of the daemon.
        names: The profiles of labs.

    """
    for name in names:
        config = lxd.get("sets", {}).get(name, {})
        if config.get("security.privileged", "").lower() in ("true", "1", "yes", "on"):
            yield name, "makes servers privileged: root in one is root on the host"
        if config.get("raw.lxc"):
            yield name, f"sets raw.lxc, which nobody checks: {' '.join(config['raw.lxc'].split())}"
        for device, settings in sorted(lxd.get("brings", {}).get(name, {}).items()):
            source = settings.get("source", "")
            writes = settings.get("readonly", "false").lower() != "true"
            if settings.get("type") == "disk" and settings.get("path") != "/" and source and writes:
                yield name, f"gives all servers {source} to write to, by its device {device}"
