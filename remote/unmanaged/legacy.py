"""Tables of iptables-legacy that somebody keeps beside those of nftables. Pure.

Runs on the host too: standard library alone. A packet traverses both, and each may drop it;
`iptables` shows the rules of only one of them.
"""

from __future__ import annotations

import re
from typing import Dict, List

from remote import iptables
from remote.unmanaged import nft

PROGRAM = "iptables-legacy"
TABLE = f"{PROGRAM} filter"
_CHAIN = re.compile(r":(INPUT|FORWARD|OUTPUT) (ACCEPT|DROP) ")
# Patterns of iptables' conditions and verdicts that labs depend on, and nft's words for them.
_WORDS = (
    (r"-A \w+ ", ""),
    (
        r"(! )?-([io]) (\S+)",
        lambda m: (
            '%sifname %s"%s"'
            % (m.group(2), "!= " if m.group(1) else "", m.group(3).replace("+", "*"))
        ),
    ),
    (r"-m (?:tcp|udp|multiport|comment|conntrack|state) |-p tcp ", ""),
    (
        r"(! )?--dports? ([\d,:]+)",
        lambda m: "th dport %s{ %s }" % ("!= " if m.group(1) else "", m.group(2)),
    ),
    (r"-p (\w+)", r"meta l4proto \1"),
    (
        r"(! )?-([sd]) (\S+)",
        lambda m: "ip %saddr %s%s" % (m.group(2), "!= " if m.group(1) else "", m.group(3)),
    ),
    (r"--ctst(?:ate|atus) DNAT\b", "ct status dnat"),
    (r"--(?:ct)?state (\S+)", lambda m: "ct state { %s }" % m.group(1).lower()),
    (r"-j ACCEPT", "accept"),
    (r"-j (?:DROP|REJECT)\b.*", "drop"),
)
_OPTIONS = {
    "tcp dport { 80, 443 } accept": "-p tcp -m multiport --dports 80,443 -j ACCEPT",
    'iifname "gr-*" accept': f"-i {iptables.BRIDGES} -j ACCEPT",
    'oifname "gr-*" accept': f"-o {iptables.BRIDGES} -j ACCEPT",
}


def chains(saved: str) -> List[nft.Chain]:
    """Return the chains that filter, of what `iptables-legacy-save` printed, as nft has them."""
    found: Dict[str, nft.Chain] = {}
    rules = iptables.Chains(saved)
    inside = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            inside = line[1:]
        elif (match := _CHAIN.match(line)) and inside == "filter":
            name, policy = match.groups()
            translated = [_translated(rule) for rule in rules.flat("filter", name)]
            found[name] = nft.Chain(TABLE, name, "filter", name.lower(), policy.lower(), translated)
    return list(found.values())


def nat_rules(saved: str) -> List[str]:
    """Return the NAT rules of what `iptables-legacy-save` printed; each names its program."""
    _before, _table, after = saved.partition("*nat\n")
    lines = after.partition("COMMIT")[0].splitlines()
    return [f"{PROGRAM} {line}" for line in lines if line.startswith("-A ")]


def accepting_command(chain: str, rule: str) -> str:
    """Return the command that adds a rule that `checks.lab_packets` named."""
    return f"{PROGRAM} -I {chain} {_OPTIONS[rule]}"


def _translated(rule: str) -> str:
    for pattern, word in _WORDS:
        rule = re.sub(pattern, word, rule)
    return rule
