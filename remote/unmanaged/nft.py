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
_COMMENT = re.compile(r'\s*\bcomment "[^"]*"$')
# A verdict map by one key, and each of its elements.
_VMAP = re.compile(
    r"(.*?\b(?:iif|iifname|oif|oifname|dport|l4proto|protocol|state)) vmap \{([^}]*)\}$"
)
_ELEMENT = re.compile(r"\s*([^:,]+?) : ((?:jump |goto )?[\w./-]+)\s*(?:,|$)")
_UNNAMED = re.compile(r"(.*?) ?(?:jump|goto) \{$")
# The kernel follows 16 jumps.
DEEPEST = 16
# Conditions that no or few IPv4 packets of people meet.
_OTHERS = re.compile(
    r"\b(?:nfproto )?ipv6\b|\bip6\b|\blimit rate\b|\bct state invalid\b|iif\w* \"?lo\b|"
    # A network's addresses by another interface are forged.
    r"\biif\w* != \S+ ip saddr|"
    # Packets of another network of the host.
    r'\biif\w* "?(?:docker|br-[0-9a-f]{12}|virbr|lxd|incus|podman|cni)'
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
    for whole in rules.get((table, name), ()):
        for rule in _expanded(whole, {known for of, known in rules if of == table}):
            match = _JUMP.match(rule)
            if not match or depth > DEEPEST:
                yield whole if rule == _COMMENT.sub("", whole) else rule
                continue
            for inner in _followed(rules, table, match.group(2), depth + 1):
                yield (match.group(1) + inner).strip()


def _expanded(rule: str, known: Collection[str]) -> Iterator[str]:
    """Yield a rule without its comment; for a verdict map that jumps, a rule for each element."""
    rule = _COMMENT.sub("", rule)
    match = _VMAP.match(rule)
    elements = _ELEMENT.findall(match.group(2)) if match else []
    whole = match and len(elements) == match.group(2).count(",") + 1
    if whole and any(word.split()[0] != word and word.split()[1] in known for _, word in elements):
        yield from (f"{rule.partition(' vmap ')[0]} {key} {word}" for key, word in elements)
    else:
        yield rule


def unknown_tables(found: Sequence[Chain], known: Collection[str]) -> List[str]:
    """Return the tables of others that filter packets to, through or from a lab host.

    Args:
        found: The base chains.
        known: The tables of UFW and LXD.
    """
    hooks = ("prerouting", "input", "forward", "output")
    own = {c.table for c in found if c.kind == "filter" and c.hook in hooks} - set(known)
    return sorted(table for table in own if table.split()[0] in ("ip", "inet"))


def bans(chain: Chain, forwarded: Collection[int] = ()) -> Iterator[str]:
    """Yield the rules that keep people, or some of them, out of pages or servers.

    Args:
        chain: The chain.
        forwarded: The ports that lead to servers, before DNAT.
    """
    ports = {"prerouting": (*_PAGES, *forwarded), "input": _PAGES, "forward": _DIALLED}
    for whole in chain.rules if chain.hook in ports else ():
        rule = _COMMENT.sub("", whole)
        parts = _ports(rule)
        ours = parts and any(port in part for port in ports[chain.hook] for part in parts)
        one = parts is None and re.search(r"\bip saddr\b", rule)
        asked = re.split(r"\b(?:drop|reject)\b", rule)[0]
        if re.search(r"\b(?:udp|icmp)\b", asked) and not re.search(r"\btcp\b", asked):
            # No page and no login comes by these.
            continue
        if re.search(r"\b(?:drop|reject)\b", rule) and not _OTHERS.search(rule) and (ours or one):
            yield whole


def _ports(rule: str) -> Optional[Sequence[range]]:
    """Return the TCP ports that a rule names; None where it names none, as for all ports."""
    match = re.search(r"\b(?:tcp|th) dport (\{[^}]*\}|[\d-]+)", rule)
    if not match:
        return None
    text = match.group(1).strip("{} ").replace(" ", "").replace("-", ":")
    return ports_of(text) if re.fullmatch(r"[\d:,]+", text) else ()
