"""Others' rules that void the isolation of a lab's servers. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from core.names import STUDENTS
from remote import iptables
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat

# Matches that new packets of any server may meet; few packets meet the others.
_PLAIN = {"tcp", "udp", "icmp", "conntrack", "state", "comment", "multiport", "limit", "addrtype"}
# DNS and DHCP: every server may use these ports of the host.
_GIVEN = {53, 67}
# Bridges of Docker, libvirt and the like, whose rules come before UFW's.
_PRIVATE = re.compile(r"docker\d*|br-[0-9a-f]{12}|virbr\d+|lxdbr\d+|incusbr\d+|podman\d+|cni-?\w+")
_LASTING = "# to keep it at a boot, in /etc/ufw/after.init too"


@dataclasses.dataclass(frozen=True)
class Breach:
    """A rule that voids the isolation.

    Attributes:
        whom: What servers reach by it.
        line: The rule.
        do: What closes it.
    """

    whom: str
    line: str
    do: str


def breaches(facts: HostFacts) -> Iterator[Breach]:
    """Yield the loaded rules before UFW's that void the isolation.

    Packets that such a rule accepts never reach our chains. For each private network, this yields
    only the first rule that lets servers in.
    """
    closed: set[str] = set()
    for rule in facts.get("before_ufw", ()):
        whole, line = rule["whole"], rule["line"]
        if whole.split()[1] in iptables.OUTWARDS:
            # Another chain has already decided about these packets of servers.
            continue
        network = _output_interface(whole)
        if iptables.target(whole) in ("DROP", "REJECT") and _is_plain_drop(whole):
            closed.add(network)
        # What a program takes from a queue and accepts passes our chains too.
        if iptables.target(whole) not in ("ACCEPT", "NFQUEUE"):
            continue
        if _lets_servers(whole):
            whom = "each other" if whole.startswith("-A FORWARD ") else "the host"
            yield Breach(
                whom, line, f"iptables -D {line[3:]}; in its place, where it is needed: ufw allow, "
                "or ufw route allow, which Grappe's drops precede",
            )  # fmt: skip
        elif (
            _PRIVATE.fullmatch(network)
            and not closed & {network, ""}
            and _lets_in(iptables.conditions(whole))
        ):
            closed.add(network)
            yield Breach(f"the machines on {network}", line, _keep_out(network))


def _keep_out(network: str) -> str:
    drop = f"-i {iptables.BRIDGES} -o {network} -j DROP"
    if not network.startswith(("docker", "br-")):
        return f"iptables -I FORWARD {drop}"
    return f"iptables -N DOCKER-USER 2>/dev/null; iptables -I DOCKER-USER {drop}  {_LASTING}"


def _output_interface(line: str) -> str:
    """Return the output interface (-o) of a FORWARD rule; empty without one."""
    match = re.search(r"(?<!! )-o (\S+)", line)
    return match.group(1) if match and line.startswith("-A FORWARD ") else ""


def _is_plain_drop(line: str) -> bool:
    """Whether a FORWARD rule drops all packets of servers, without further conditions."""
    options = iptables.conditions(line).keys() - {"-A", "-i", "-o", "-j", "--reject-with"}
    if set(re.findall(r" -m (\S+)", line)) == {"comment"}:
        options -= {"-m"}
    return (
        line.startswith("-A FORWARD ")
        and not options
        and _is_bridges(iptables.conditions(line), "-i")
    )


def _lets_in(asked: Mapping[str, iptables.Condition]) -> bool:
    """Whether a rule matches new packets of servers, whatever their destination."""
    states = asked.get("--ctstate", asked.get("--state", iptables.Condition("NEW")))
    new = bool({"NEW", "DNAT"} & set(states.value.split(",")))
    return new is not states.negated and _is_bridges(asked, "-i") and _is_students(asked, "-s")


def _lets_servers(line: str) -> bool:
    """Whether a rule takes new packets that servers send to the host, or to each other."""
    asked = iptables.conditions(line)
    ports = next((asked[each] for each in ("--dport", "--dports") if each in asked), None)
    parts = unmanaged_nat.ports_of(ports.value) if ports and not ports.negated else ()
    given = bool(parts) and all(port in _GIVEN for part in parts for port in part)
    modules = set(re.findall(r" -m (\S+)", line))
    forwards = line.startswith("-A FORWARD ")
    return (
        _lets_in(asked)
        and modules <= _PLAIN
        and _is_sent(asked, "UNICAST" if forwards else "LOCAL")
        and (not forwards or _is_bridges(asked, "-o"))
        and (
            _is_students(asked, "-d")
            if forwards
            else not asked.get("-d", iptables.Condition("")).value.startswith("224.")
        )
        and (forwards or not given)
    )


def _is_sent(asked: Mapping[str, iptables.Condition], kind: str) -> bool:
    """Whether the types of address that a rule names are those of a server and of `kind`."""
    for option, ours in (("--src-type", "UNICAST"), ("--dst-type", kind)):
        named = asked.get(option)
        if named and (ours in named.value.split(",")) is named.negated:
            return False
    return True


def _is_bridges(asked: Mapping[str, iptables.Condition], option: str) -> bool:
    """Whether an interface that a rule names may be a student's bridge."""
    name, negated = asked.get(option, iptables.Condition("+"))
    prefix = name.removesuffix("+")
    ours = name.startswith("gr-") or (name.endswith("+") and "gr-".startswith(prefix))
    return not name.startswith("gr-") if negated else ours


def _is_students(asked: Mapping[str, iptables.Condition], option: str) -> bool:
    """Whether an address that a rule names may be a server's."""
    named = asked.get(option, iptables.Condition("0.0.0.0/0"))
    return named.negated or iptables.network(named.value).overlaps(STUDENTS)
