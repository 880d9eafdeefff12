"""Others' listeners, files, redirects and bridges that conflict with a lab. Pure.

Preflight and doctor share it: a conflict that a preview refuses is a finding where it comes later.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from checks import dropping_rules, lab_packets, ufw_denials
from core.names import WEB_PORTS
from remote import iptables, managed_block
from remote.haproxy_unit import CONFIG
from remote.names import INNER_BRIDGES, UFW_SCRIPTS
from remote.surveys.facts import HostFacts, HostsFileFacts
from remote.unmanaged import haproxy, legacy, nft
from remote.unmanaged import nat as unmanaged_nat

# What Grappe's part of haproxy.cfg calls its sections.
OUR_SECTIONS = ("grappe", "grappe_servers", "grappe_http", "grappe_https")
DNS_PORT = 53
# systemd-networkd reads its files by name: this one comes before others.
NETWORKD_FILE = "/etc/systemd/network/00-grappe.network"
# Labs' bridges are gr-7, those of golden images gr-i7.
_NAMESAKE = re.compile(r"gr-(?!i?\d+$).*")


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
    yield from dropping_rules.shut_servers(facts)
    for hook in ("INPUT", "FORWARD"):
        lost = [chain for chain in facts.get("unled", ()) if chain.endswith(hook.lower())]
        if lost:
            yield (
                f"{hook} has no jump to {' and '.join(lost)}: UFW's rules, and ours, do not count",
                iptables.ufw_jumps_command(hook),
            )


# How DNS servers listen on some addresses alone.
_OWN_ADDRESSES = {
    "dnsmasq": ": bind-interfaces, and listen-address=ADDRESS for each",
    "named": ": in its options, listen-on { 127.0.0.1; ADDRESS; };",
    "unbound": ": interface: ADDRESS for each, and interface-automatic: no",
    "pdns_server": ": local-address=ADDRESS",
    "docker-proxy": ": publish ADDRESS:53:53, not 53:53",
    "systemd-resolve": ": in resolved.conf, DNSStubListenerExtra=ADDRESS for each",
}


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
            program = entry["program"]
            taken = f"port {DNS_PORT} of all addresses is taken by {program}"
            own = "have it listen on its own addresses alone"
            yield (
                f"{taken}; LXD serves DNS on labs' bridges there",
                f"{own}{_OWN_ADDRESSES.get(program, '')}",
            )


def redirects(facts: HostFacts, ports: Sequence[int]) -> Iterator[tuple[list[int], str]]:
    """Yield (ports, rule) for each loaded NAT rule of others that redirects some of these ports.

    A rule for packets that no person sends to the host does not count. If the rules of a
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


# A condition of iptables or nft, with what negates it, and its value or values.
_CONDITION = r'(! )?(?:{})(?: (!=))? (\{{[^}}]*\}}|"[^"]*"|[^\s{{]+)'
_TO, _FROM, _BY = (
    re.compile(r"(?<!\S)" + _CONDITION.format(names))
    for names in ("-d|ip daddr", "-s|ip saddr", "-i|iif(?:name)?")
)
_COMMENTS = re.compile(r'(?:--)?comment (?:"[^"]*"|\S+)')


def _applies(line: str, subnets: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a rule is for what people send to an address and an interface of the host."""
    line = _COMMENTS.sub("", line)
    ours = [(entry["interface"], ipaddress.IPv4Interface(entry["subnet"])) for entry in subnets]
    inner = [each for name, each in ours if INNER_BRIDGES.match(name)]
    own = [each.ip for _name, each in ours if each not in inner and not each.ip.is_loopback]
    if "! --dst-type LOCAL" in line:
        return False
    to, source = _TO.search(line), _FROM.search(line)
    if own and to and (networks := _networks(to)):
        inside = [any(ip in network for network in networks) for ip in own]
        if all(inside) if to.group(1) or to.group(2) else not any(inside):
            return False
    networks = _networks(source) if source and not (source.group(1) or source.group(2)) else []
    if networks and all(any(each.subnet_of(b.network) for b in inner) for each in networks):
        return False
    by = _BY.search(line)
    if not by or by.group(1) or by.group(2):
        return True
    names = re.findall(r"[\w.+*@:-]+", by.group(3))
    if all(name == "lo" or INNER_BRIDGES.match(name) for name in names):
        return False
    return not ours or any(
        any(each.startswith(name[:-1]) if name[-1] in "+*" else each == name for each, _ in ours)
        for name in names
    )


def _networks(condition: re.Match[str]) -> list[ipaddress.IPv4Network]:
    """Return the networks of a condition; none where one is a range, or a set by name."""
    words = re.findall(r"[^\s,{}]+", condition.group(3))
    if not all(re.fullmatch(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?", word) for word in words):
        return []
    return [iptables.network(word) for word in words]


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
