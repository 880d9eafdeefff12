"""Others' rules of iptables that drop or translate what a lab needs; pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from core.names import SSH_PORT, STUDENTS, WEB_PORTS
from remote import iptables
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat


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
    exempt = False
    for rule in facts.get("before_ufw", ()):
        line = rule["whole"]
        exempt |= _exempts_labs(rule["line"])
        if exempt and rule["line"].startswith(_OF_DOCKER):
            continue
        ends = iptables.target(line) in ("DROP", "REJECT", "NOTRACK") or "--notrack" in line
        is_partial = bool(_PARTIAL.search(line))
        hook = line.split()[1]
        dialled = forwarded if hook == "FORWARD" and _ORIGINAL in line else ports[hook]
        if ends and is_partial is not whole and _matches(line, dialled, own):
            yield rule["table"], rule["line"]


# The chain in which Docker's users write, and those that ufw-docker leads to from it.
_OF_DOCKER = ("-A DOCKER-USER ", "-A ufw-docker")


def _exempts_labs(line: str) -> bool:
    """Whether a rule lets all that is for labs pass Docker's chain."""
    asked = iptables.conditions(line)
    to = asked.get("-d", _ANY)
    return (
        line.startswith("-A DOCKER-USER ")
        and iptables.target(line) in ("RETURN", "ACCEPT")
        and asked.keys() <= {"-A", "-d", "-j"}
        and bool(to.value) and not to.negated and STUDENTS.subnet_of(iptables.network(to.value))
    )  # fmt: skip


def _spares_servers(line: str) -> bool:
    """Whether a rule lets pass all that servers send, in the hook that it is in."""
    asked = iptables.conditions(line)
    source, by = asked.get("-s", _ANY), asked.get("-i", _ANY)
    whole = source.value and not source.negated and asked.keys() <= {"-A", "-s", "-j"}
    return iptables.target(line) in ("RETURN", "ACCEPT") and bool(
        (by.value == iptables.BRIDGES and not by.negated and asked.keys() <= {"-A", "-i", "-j"})
        or (whole and STUDENTS.subnet_of(iptables.network(source.value)))
    )


def shut_servers(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) for each rule before UFW's that drops all that servers send.

    Such as one against forged private addresses: labs have those of 10.64.0.0/12.
    """
    spared: set[tuple[str, str]] = set()
    for rule in facts.get("before_ufw", ()):
        line = rule["whole"]
        hook = (rule["table"], line.split()[1])
        if rule["line"] == line and _spares_servers(line):
            spared.add(hook)
        if hook in spared:
            continue
        asked = iptables.conditions(line)
        source, by = asked.get("-s", _ANY), asked.get("-i", _ANY)
        covers = source.value and not source.negated
        if (
            iptables.target(line) in ("DROP", "REJECT")
            and line.split()[1] in ("PREROUTING", "INPUT", "FORWARD")
            and covers and STUDENTS.subnet_of(iptables.network(source.value))
            and (by.negated is not by.value.startswith("gr-") or not by.value)
            and asked.keys() <= {"-A", "-s", "-i", "-j", "--reject-with", "-m"}
            and asked.get("-m", _ANY).value in ("", "comment")
        ):  # fmt: skip
            table, chain = hook
            named = "" if table == "filter" else f"-t {table} "
            # An accept in the filter table would void the isolation.
            spare = (
                f"write ! -i {iptables.BRIDGES} into it, where it has no -i; else a narrower source"
                if table == "filter"
                else f"iptables {named}-I {chain} -i {iptables.BRIDGES} -j ACCEPT"
            )
            yield (
                f"a rule drops all that servers send: {named}{rule['line']}",
                f"{spare}; and the same in the file that loads it",
            )


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


def _matches(line: str, ports: Collection[int], own: Collection[ipaddress.IPv4Address]) -> bool:
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
    source, mark = asked.get("-s", _ANY), asked.get("--mark", _ANY)
    if source.value and not source.negated and _is_nobody(source.value):
        return False
    if "-m mark" in line and mark.value:
        # People's packets have no mark.
        unmarked = int(mark.value.partition("/")[0], 0) == 0
        if unmarked is mark.negated:
            return False
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

# The port that people dialled, before DNAT.
_ORIGINAL = "--ctorigdstport"
_DIALLED = ("--dport", "--dports", "--ports", _ORIGINAL)

_SOURCES = ("--sport", "--sports")

# A port that programs of people dial from.
_CLIENTS = 50000

_OTHERS_BRIDGES = ("docker", "br-", "virbr", "lxd", "incus", "podman", "cni", "cali", "lo")

# What nobody sends to a single address of the host.
_NOT_TO_US = re.compile(
    r"--pkt-type (?:broadcast|multicast)|(?<!! )--dst-type (?:BROADCAST|MULTICAST|ANYCAST)\b|"
    r"-m owner\b|(?<!! )--src-type (?:LOCAL|BROADCAST|MULTICAST|ANYCAST)\b|! --dst-type LOCAL\b"
)


def _is_nobody(source: str) -> bool:
    """Whether no person's packets come from a network: this host's own, or a group of many."""
    network = iptables.network(source)
    return any(network.subnet_of(each) for each in _NOBODYS)


_NOBODYS = [ipaddress.IPv4Network(each) for each in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")]


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
