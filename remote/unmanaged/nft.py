"""Tables of nftables that people keep beside UFW's, and what they keep out. Pure.

Runs on the host too: standard library alone. A packet traverses every base chain of a hook, and
one that drops it wins, whatever the others accept.
"""

from __future__ import annotations

import re
from typing import Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from remote.unmanaged.nat import ports_of

# The tables of iptables-nft, which UFW uses on most hosts.
IPTABLES = {
    f"{family} {name}"
    for family in ("ip", "ip6") for name in ("filter", "nat", "mangle", "raw", "security")
}  # fmt: skip
LXD = {"inet lxd"}
_BASE = re.compile(r"type (\w+) hook (\w+) .*?(?:policy (\w+);)?\s*$")
# A named set or map with its elements, in what `nft list table` prints.
_NAMED = re.compile(r"^\s*(?:set|map) (\S+) \{([^{}]*?)\belements = \{([^}]*)\}", re.MULTILINE)
_OF_PORTS = re.compile(r"\btype inet_service\b|\btypeof (?:tcp|th) dport\b")
_JUMP = re.compile(r"(.*?)(?:jump|goto) (\S+)$")
_UNNAMED = re.compile(r"(.*?) ?(?:jump|goto) \{$")
# The kernel follows 16 jumps.
DEEPEST = 16
# Conditions that no or few IPv4 packets of people meet.
_OTHERS = re.compile(
    r"\b(?:nfproto )?ipv6\b|\bip6\b|\blimit rate\b|\bct state invalid\b|iif\w* \"?lo\b|"
    # A network's addresses by another interface are forged.
    r"\biif\w* != \S+ ip saddr"
)
_PAGES = (80, 443)
# The ports of servers, to which HAProxy and DNAT forward.
_DIALLED = (22, *_PAGES)


class Chain(NamedTuple):
    """A base chain.

    Attributes:
        table: Its family and table, as `inet mine`.
        name: Its name.
        kind: `filter`, `nat` or `route`.
        hook: `input`, `forward`, `output`, ...
        policy: `accept` or `drop`.
        rules: Its rules, as `nft list` prints them; those of a chain that one of them jumps to
            follow it, each behind the jump's condition.
    """

    table: str
    name: str
    kind: str
    hook: str
    policy: str
    rules: Sequence[str] = ()


def chains(listed: str) -> List[Chain]:
    """Return the base chains of what `nft list chains` or `nft list table` printed."""
    found: List[Chain] = []
    rules: Dict[Tuple[str, str], List[str]] = {}
    table = name = ""
    # The conditions of the jumps to chains without a name that the lines are in.
    inside: List[str] = []
    for line in listed.splitlines():
        words = line.split()
        if match := _UNNAMED.match(" ".join(words)):
            inside.append(match.group(1))
        elif inside and words[:1] == ["}"]:
            inside.pop()
        elif words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] == ["chain"]:
            name = words[1]
            rules[table, name] = []
        elif match := _BASE.match(line.strip()):
            kind, hook, policy = match.groups()
            found.append(Chain(table, name, kind, hook, policy or "accept"))
        elif words and words != ["}"] and (table, name) in rules:
            rules[table, name].append(" ".join([*filter(None, inside), *words]))
    return [
        chain._replace(rules=list(_followed(rules, chain.table, chain.name))) for chain in found
    ]


def with_elements(listed: str) -> str:
    """Return a table's listing with the elements of named sets and maps of ports in their place."""
    for name, head, elements in _NAMED.findall(listed):
        if _OF_PORTS.search(head):
            listed = re.sub(rf"@{re.escape(name)}\b", f"{{ {' '.join(elements.split())} }}", listed)
    return listed


def _followed(
    rules: Mapping[Tuple[str, str], Sequence[str]], table: str, name: str, depth: int = 0
) -> Iterator[str]:
    """Yield a chain's rules, and those of the chains that it jumps to, behind its conditions."""
    for rule in rules.get((table, name), ()):
        match = _JUMP.match(rule)
        if not match or depth > DEEPEST:
            yield rule
            continue
        for inner in _followed(rules, table, match.group(2), depth + 1):
            yield (match.group(1) + inner).strip()


def unknown_tables(found: Sequence[Chain], known: Collection[str]) -> List[str]:
    """Return the tables of others that filter packets to, through or from a lab host.

    Args:
        found: The base chains.
        known: The tables of UFW and LXD.

    """
    hooks = ("prerouting", "input", "forward", "output")
    own = {c.table for c in found if c.kind == "filter" and c.hook in hooks} - set(known)
    return sorted(table for table in own if table.split()[0] in ("ip", "inet"))


def missing_accepts(chain: Chain, outer: Collection[str] = ()) -> Iterator[str]:
    """Yield the accept rules that a chain needs so that it does not cut labs off.

    Args:
        chain: The chain.
        outer: The interfaces that people come by, as far as they are known.

    """
    if chain.kind != "filter":
        return
    outer_names = tuple(outer)

    def drops(*packets: Packet) -> bool:
        return any(_is_dropped(chain, packet, outer_names) for packet in packets)

    if chain.hook == "input" and drops(*(Packet(PEOPLE, "", dport=port) for port in _PAGES)):
        yield "tcp dport { 80, 443 } accept"
    out = Packet(BRIDGE, PEOPLE, dport=443)
    if (chain.hook == "input" and drops(*(Packet(BRIDGE, "", "udp", port) for port in _ASKED))) or (
        chain.hook == "forward" and drops(out, out._replace(dport=50000, state="established"))
    ):
        yield 'iifname "gr-*" accept'
    into = Packet(PEOPLE if chain.hook == "forward" else "", BRIDGE, dport=22)
    back = into._replace(dport=50000, state="established")
    dialled = into._replace(dnat=True) if chain.hook == "forward" else into._replace(dport=80)
    if chain.hook in ("forward", "output") and drops(dialled, back):
        yield 'oifname "gr-*" accept'


class Packet(NamedTuple):
    """A packet that a lab needs.

    Attributes:
        enters: By which kind of interface: `BRIDGE`, `PEOPLE`, or empty for the host's own.
        leaves: The same.
        protocol: `tcp` or `udp`.
        dport: The port that it is for.
        state: Of its connection: `new` or `established`.
        dnat: Whether its connection was forwarded by DNAT.
    """

    enters: str
    leaves: str
    protocol: str = "tcp"
    dport: int = 0
    state: str = "new"
    dnat: bool = False


BRIDGE, PEOPLE = "bridge", "people"
# DNS and DHCP, which servers ask of the host.
_ASKED = (53, 67)
# The interfaces of other networks of the host.
_INNER = ("lo", "docker", "br-", "virbr", "lxd", "incus", "podman", "cni")
_WITHOUT_EFFECT = re.compile(
    r"counter(?: packets \d+ bytes \d+| name \S+)?|"
    r'log(?: (?:prefix|level|flags|group) (?:"[^"]*"|\S+))*'
    r'|comment "[^"]*"|meta nfproto ipv4|ip version 4'
)
_VERDICT = re.compile(r"\b(accept|drop|reject|queue|return|vmap)\b")
_KEY = (
    r"(iif(?:name)?|oif(?:name)?|(?:tcp|udp|th) dport|meta l4proto|ip protocol|ct state|ct status)"
)
_CONDITION = re.compile(_KEY + r' (!= )?(\{[^}]*\}|"[^"]*"|[^\s{}"]+)')
_VMAP = re.compile(_KEY + r" vmap \{([^}]*)\}")
# What precedes `vmap` is no condition.
_KEY_OF_MAP = re.compile(_KEY + r" $")
# IPv6, and IPv4 that no lab sends or gets.
_NOT_OF_LABS = re.compile(
    r"\bip6\b|\bipv6\b|\bicmp|\bip daddr (?:22[4-9]|23\d|255)\.|\bip saddr 127\.|"
    r"\bpkttype (?:broadcast|multicast)|\bfib daddr type (?:broadcast|multicast|anycast)"
)


def _is_dropped(chain: Chain, packet: Packet, outer: Sequence[str]) -> bool:
    """Whether a chain drops a packet: by its first rule that matches for sure, or its policy.

    A rule that may match counts if it accepts, and a `return` that matches if the policy does.
    """
    for rule in chain.rules:
        plain = _WITHOUT_EFFECT.sub(" ", rule)
        verdict = _VERDICT.search(plain)
        if not verdict:
            continue
        matches, word = _is_met(plain[: verdict.start()], packet, outer), verdict.group(1)
        if word == "vmap":
            chosen = _VMAP.search(plain)
            word = _in_map(chosen, packet, outer) if chosen and matches is not False else ""
        ends = word in ("drop", "reject")
        if not word or matches is False or (ends and matches is None):
            continue
        if word == "return" and chain.policy == "drop":
            # It leads back to the chain before, or to the policy.
            continue
        return ends
    return chain.policy == "drop"


def _in_map(vmap: "re.Match[str]", packet: Packet, outer: Sequence[str]) -> str:
    """Return the verdict of a map for a packet; empty without one, accept for an unknown chain."""
    for element in vmap.group(2).split(","):
        key, _colon, word = element.rpartition(":")
        if _is_one_met(vmap.group(1), "", key.strip(), packet, outer) is not False:
            word = word.strip()
            return word if word in ("accept", "drop", "reject", "continue", "return") else "accept"
    return ""


def _is_met(text: str, packet: Packet, outer: Sequence[str]) -> Optional[bool]:
    """Whether a packet meets a rule's conditions; None where that is unknown."""
    if _NOT_OF_LABS.search(text):
        return False
    text = _KEY_OF_MAP.sub("", text)
    met = [
        _is_one_met(name, negated, value, packet, outer)
        for name, negated, value in _CONDITION.findall(text)
    ]
    if False in met:
        return False
    return None if None in met or _CONDITION.sub("", text).strip() else True


def _is_one_met(
    name: str, negated: str, value: str, packet: Packet, outer: Sequence[str]
) -> Optional[bool]:
    words = re.findall(r'[^\s,{}"]+', value)
    if name.endswith("dport"):
        asked = name.partition(" ")[0]
        if asked not in ("th", packet.protocol):
            return False
        if not re.fullmatch(r"[\d:-]+", "".join(words)):
            return None
        parts = ports_of(",".join(words).replace("-", ":"))
        met: Optional[bool] = any(packet.dport in part for part in parts)
    elif name in ("meta l4proto", "ip protocol"):
        met = packet.protocol in words
    elif name == "ct state":
        met = packet.state in words or (packet.dnat and "dnat" in words)
    elif name == "ct status":
        met = packet.dnat and "dnat" in words
    else:
        met = _is_interface(words, packet.enters if name[0] == "i" else packet.leaves, outer)
    return met if met is None or not negated else not met


def _is_interface(words: Sequence[str], kind: str, outer: Sequence[str]) -> Optional[bool]:
    """Whether an interface of a kind is among the named ones; None where that is unknown."""
    if kind == BRIDGE:
        return any(word.startswith("gr-") or _covers(word, "gr-7") for word in words)
    if kind == PEOPLE:
        if any(word in outer or any(_covers(word, each) for each in outer) for word in words):
            return True
        return False if all(word.startswith((*_INNER, "gr-")) for word in words) else None
    return "lo" in words


def _covers(pattern: str, name: str) -> bool:
    return pattern.endswith("*") and name.startswith(pattern[:-1])


def bans(chain: Chain, forwarded: Collection[int] = ()) -> Iterator[str]:
    """Yield the rules that keep people, or some of them, out of pages or servers.

    Args:
        chain: The chain.
        forwarded: The ports that lead to servers, before DNAT.

    """
    ports = {"prerouting": (*_PAGES, *forwarded), "input": _PAGES, "forward": _DIALLED}
    for rule in chain.rules if chain.hook in ports else ():
        parts = _ports(rule)
        ours = parts and any(port in part for port in ports[chain.hook] for part in parts)
        one = parts is None and re.search(r"\bip saddr\b", rule)
        if re.search(r"\b(?:drop|reject)\b", rule) and not _OTHERS.search(rule) and (ours or one):
            yield rule


def _ports(rule: str) -> Optional[Sequence[range]]:
    """Return the TCP ports that a rule names; None where it names none, as for all ports."""
    match = re.search(r"\b(?:tcp|th) dport (\{[^}]*\}|[\d-]+)", rule)
    if not match:
        return None
    text = match.group(1).strip("{} ").replace(" ", "").replace("-", ":")
    return ports_of(text) if re.fullmatch(r"[\d:,]+", text) else ()
