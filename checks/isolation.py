"""Others' rules that void the isolation of a lab's servers. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from checks.conflicts import STUDENTS
from remote import iptables
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat

# Matches that a new packet of any server may meet; what others test, few do.
_PLAIN = {"tcp", "udp", "icmp", "conntrack", "state", "comment", "multiport", "limit"}
# A server gets these of the host anyhow.
_GIVEN = {53, 67}


def opens(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield the loaded rules before UFW's that void the isolation: whom servers reach, the rule.

    What such a rule accepts never comes to our chains.
    """
    for rule in facts.get("before_ufw", ()):
        reached = "each other" if rule["whole"].startswith("-A FORWARD ") else "the host"
        if iptables.target(rule["whole"]) == "ACCEPT" and _lets_servers(rule["whole"]):
            yield reached, rule["line"]


def _lets_servers(line: str) -> bool:
    """Whether a rule takes new packets that servers send to the host, or to each other."""
    words = line.split()
    named = {word: words[index + 1] for index, word in enumerate(words[:-1])}
    ports_text = next((named[option] for option in ("--dport", "--dports") if option in named), "")
    parts = unmanaged_nat.ports_of(ports_text) if ports_text else ()
    given = bool(parts) and all(port in _GIVEN for part in parts for port in part)
    states = named.get("--ctstate", named.get("--state", "NEW")).split(",")
    modules = {words[index + 1] for index, word in enumerate(words[:-1]) if word == "-m"}
    forwards = line.startswith("-A FORWARD ")
    return (
        modules <= _PLAIN
        and bool({"NEW", "DNAT"} & set(states))
        and _is_bridges(words, "-i")
        and (not forwards or _is_bridges(words, "-o"))
        and _is_students(words, "-s")
        and (_is_students(words, "-d") if forwards else not named.get("-d", "").startswith("224."))
        and (forwards or not given)
    )


def _is_bridges(words: Sequence[str], option: str) -> bool:
    """Whether an interface that a rule names may be a student's bridge."""
    if option not in words:
        return True
    index = words.index(option)
    name = words[index + 1]
    prefix = name.removesuffix("+")
    ours = name.startswith("gr-") or (name.endswith("+") and "gr-".startswith(prefix))
    return not name.startswith("gr-") if words[index - 1] == "!" else ours


def _is_students(words: Sequence[str], option: str) -> bool:
    """Whether an address that a rule names may be a server's."""
    if option not in words:
        return True
    index = words.index(option)
    network = ipaddress.IPv4Network(words[index + 1], strict=False)
    return words[index - 1] == "!" or network.overlaps(STUDENTS)
