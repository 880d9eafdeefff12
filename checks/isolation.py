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

# Matches that a new packet of any server may meet; what others test, few do.
_PLAIN = {"tcp", "udp", "icmp", "conntrack", "state", "comment", "multiport", "limit"}
# A server gets these of the host anyhow.
_GIVEN = {53, 67}
# Bridges of a host's own machines, whose makers write their rules before UFW's.
_PRIVATE = re.compile(r"docker\d*|br-[0-9a-f]{12}|virbr\d+|lxdbr\d+|incusbr\d+|podman\d+|cni-?\w+")
_LASTING = "# to keep it at a boot, in /etc/ufw/after.init too"


@dataclasses.dataclass(frozen=True)
class Opening:
    """A rule that voids the isolation.

    Attributes:
        whom: What servers reach by it.
        line: The rule.
        do: What closes it.
    """

    whom: str
    line: str
    do: str


def opens(facts: HostFacts) -> Iterator[Opening]:
    """Yield the loaded rules before UFW's that void the isolation.

    What such a rule accepts never comes to our chains. Of those that let servers into one private
    network, the first stands for all.
    """
    closed: set[str] = set()
    for rule in facts.get("before_ufw", ()):
        whole, line = rule["whole"], rule["line"]
        network = _way_into(whole)
        if iptables.target(whole) in ("DROP", "REJECT") and _is_plain_drop(whole):
            closed.add(network)
        if iptables.target(whole) != "ACCEPT":
            continue
        if _lets_servers(whole):
            whom = "each other" if whole.startswith("-A FORWARD ") else "the host"
            yield Opening(
                whom, line, f"iptables -D {line[3:]}; in its place, where it is needed: ufw allow, "
                "or ufw route allow, which Grappe's drops precede",
            )  # fmt: skip
        elif _PRIVATE.fullmatch(network) and not closed & {network, ""} and _lets_in(whole):
            closed.add(network)
            yield Opening(f"the machines on {network}", line, _keep_out(network))


def _keep_out(network: str) -> str:
    drop = f"-i {iptables.BRIDGES} -o {network} -j DROP"
    if not network.startswith(("docker", "br-")):
        return f"iptables -I FORWARD {drop}"
    return f"iptables -N DOCKER-USER 2>/dev/null; iptables -I DOCKER-USER {drop}  {_LASTING}"


def _way_into(line: str) -> str:
    """Return the interface that a rule of FORWARD leads out by; empty where it names none."""
    match = re.search(r"(?<!! )-o (\S+)", line)
    return match.group(1) if match and line.startswith("-A FORWARD ") else ""


def _is_plain_drop(line: str) -> bool:
    """Whether a rule drops whatever servers send by it."""
    words = re.sub(r" --reject-with \S+", "", line).split()
    options = {word for word in words if word.startswith("-")} - {"-A", "-i", "-o", "-j"}
    return line.startswith("-A FORWARD ") and not options and _is_bridges(words, "-i")


def _lets_in(line: str) -> bool:
    """Whether a rule takes new packets of servers, wherever it leads them."""
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
