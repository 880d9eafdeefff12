"""The packets that a lab needs, and what somebody's own chain of nftables does with them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from remote.unmanaged.nat import ports_of
from remote.unmanaged.nft import Chain

BRIDGE, PEOPLE = "bridge", "people"
# HTTP and HTTPS.
_PAGES = (80, 443)
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
    r"\bip6\b|\bipv6\b(?!-icmp)|\bicmp(?:v6|x)? (?:type|code)\b|"
    r"\bip daddr (?:22[4-9]|23\d|255)\.|\bip saddr 127\.|"
    r"\bpkttype (?:broadcast|multicast)|\bfib daddr type (?:broadcast|multicast|anycast)"
)


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


def _in_map(vmap: re.Match[str], packet: Packet, outer: Sequence[str]) -> str:
    """Return the verdict of a map for a packet; empty without one, accept for an unknown chain."""
    for element in vmap.group(2).split(","):
        key, _colon, word = element.rpartition(":")
        if _is_one_met(vmap.group(1), "", key.strip(), packet, outer) is not False:
            word = word.strip()
            return word if word in ("accept", "drop", "reject", "continue", "return") else "accept"
    return ""


def _is_met(text: str, packet: Packet, outer: Sequence[str]) -> bool | None:
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
) -> bool | None:
    words = re.findall(r'[^\s,{}"]+', value)
    if name.endswith("dport"):
        asked = name.partition(" ")[0]
        if asked not in ("th", packet.protocol):
            return False
        if not re.fullmatch(r"[\d:-]+", "".join(words)):
            return None
        parts = ports_of(",".join(words).replace("-", ":"))
        met: bool | None = any(packet.dport in part for part in parts)
    elif name in ("meta l4proto", "ip protocol"):
        met = packet.protocol in words
    elif name == "ct state":
        met = packet.state in words or (packet.dnat and "dnat" in words)
    elif name == "ct status":
        met = packet.dnat and "dnat" in words
    else:
        met = _is_interface(words, packet.enters if name[0] == "i" else packet.leaves, outer)
    return met if met is None or not negated else not met


def _is_interface(words: Sequence[str], kind: str, outer: Sequence[str]) -> bool | None:
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
