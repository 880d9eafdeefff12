"""Others' rules that void the isolation of a lab's servers. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Sequence

from core.names import STUDENTS
from remote import iptables
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat

# Matches that new packets of any server may meet; few packets meet the others.
_PLAIN = {"tcp", "udp", "icmp", "conntrack", "state", "comment", "multiport", "limit"}
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
        network = _output_interface(whole)
        if iptables.target(whole) in ("DROP", "REJECT") and _is_plain_drop(whole):
            closed.add(network)
        if iptables.target(whole) != "ACCEPT":
            continue
        if _lets_servers(whole):
            whom = "each other" if whole.startswith("-A FORWARD ") else "the host"
            yield Breach(
                whom, line, f"iptables -D {line[3:]}; in its place, where it is needed: ufw allow, "
                "or ufw route allow, which Grappe's drops precede",
            )  # fmt: skip
        elif _PRIVATE.fullmatch(network) and not closed & {network, ""} and _lets_in(whole):
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
    words = re.sub(r" --reject-with \S+", "", line).split()
    options = {word for word in words if word.startswith("-")} - {"-A", "-i", "-o", "-j"}
    return line.startswith("-A FORWARD ") and not options and _is_bridges(words, "-i")


def _lets_in(line: str) -> bool:
    """Whether a rule matches new packets of servers, whatever their destination."""
    words = line.split()
    named = {word: words[index + 1] for index, word in enumerate(words[:-1])}
    states = named.get("--ctstate", named.get("--state", "NEW")).split(",")
    return (
        bool({"NEW", "DNAT"} & set(states))
        and _is_bridges(words, "-i")
        and _is_students(words, "-s")
    )


def _lets_servers(line: str) -> bool:
    """Whether a rule takes new packets that servers send to the host, or to each other."""
    words = line.split()
    named = {word: words[index + 1] for index, word in enumerate(words[:-1])}
    ports_text = next((named[option] for option in ("--dport", "--dports") if option in named), "")
    parts = unmanaged_nat.ports_of(ports_text) if ports_text else ()
    given = bool(parts) and all(port in _GIVEN for part in parts for port in part)
    modules = {words[index + 1] for index, word in enumerate(words[:-1]) if word == "-m"}
    forwards = line.startswith("-A FORWARD ")
    return (
        _lets_in(line)
        and modules <= _PLAIN
        and (not forwards or _is_bridges(words, "-o"))
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
