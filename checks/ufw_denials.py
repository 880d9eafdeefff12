"""UFW rules of others that deny something: those that work, and those that DNAT bypasses. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from core.names import STUDENTS, WEB_PORTS
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of UFW's users.

    Attributes:
        action: `allow`, `deny`, `reject` or `limit`.
        routed: Whether it matches forwarded packets.
        outwards: Whether it matches what the host itself sends.
        protocol: `tcp`, `udp` or `any`.
        ports: The ports it matches; empty for all.
        to: The destination network.
        source: The source network.
        interface: The interface it matches; empty for any.
        words: The rule as a UFW command.
    """

    action: str
    routed: bool
    outwards: bool
    protocol: str
    ports: tuple[range, ...]
    to: ipaddress.IPv4Network
    source: ipaddress.IPv4Network
    interface: str
    words: str

    def matches(self, port: int, protocol: str = "tcp") -> bool:
        """Whether it matches a port."""
        ours = self.protocol in ("any", protocol)
        return ours and (not self.ports or any(port in part for part in self.ports))

    def covers(self, other: Rule) -> bool:
        """Whether it matches all packets to its ports that the other rule matches."""
        return (
            (self.routed, self.outwards) == (other.routed, other.outwards)
            and other.source.subnet_of(self.source)
            and other.to.subnet_of(self.to)
            and self.interface in ("", other.interface)
        )

    @property
    def excluded(self) -> str:
        """The people whom it keeps out."""
        source = f" from {self.source}" if self.source.prefixlen else ""
        by = f" by {self.interface}" if self.interface else ""
        # `--seconds 30 --hitcount 6`, in UFW's user.rules.
        often = " who connect six times in 30 s" if self.action == "limit" else ""
        return f"people{source}{by}{often}"


def ineffective(facts: HostFacts, targets: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """Yield a note on each denial that DNAT bypasses, with a rule that works.

    Args:
        facts: The host's.
        targets: By port of the host, the address and port that it forwards to.
    """
    for denial in _denials(facts):
        inwards = not (denial.routed or denial.outwards)
        on = f" in on {denial.interface}" if denial.interface else ""
        source = denial.source if denial.source.prefixlen else "any"
        rule = f"ufw route insert 1 {denial.action}{on}"
        if inwards and not denial.ports and denial.matches(22) and _is_general(denial):
            yield (
                f"`{denial.words}` keeps nobody out of the servers' ports, which DNAT forwards "
                f"before UFW filters. This rule does: {rule} from {source} to {STUDENTS}"
            )
        for port, (address, target_port) in sorted(targets.items()):
            works = denial.matches(target_port) and ipaddress.IPv4Address(address) in denial.to
            # By the time that UFW forwards it, a connection has the server's address and port.
            routed = denial.routed and not works and _may_mean_the_host(denial.to)
            if (inwards or routed) and denial.ports and denial.matches(port):
                yield (
                    f"`{denial.words}` keeps nobody out of {port}: DNAT forwards that port "
                    f"before UFW filters. This rule works: {rule} proto tcp from {source} to "
                    f"{address} port {target_port}"
                )


def _may_mean_the_host(to: ipaddress.IPv4Network) -> bool:
    """Whether a rule to a network may be meant for the ports that people dial at the lab host."""
    return not to.prefixlen or to.prefixlen == to.max_prefixlen or to.overlaps(STUDENTS)


def _is_general(denial: Rule) -> bool:
    """Whether a denial is of people, for the host as a whole."""
    people = denial.source.prefixlen or denial.interface
    return (
        bool(people)
        and not denial.to.prefixlen
        and not denial.interface.startswith("gr-")
        and (not denial.source.prefixlen or not denial.source.subnet_of(STUDENTS))
    )


def effective(facts: HostFacts, targets: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """Yield a note on each denial that keeps people out of pages or servers, or servers from DNS.

    UFW applies the first rule that matches a packet: an earlier `allow` cancels a denial.
    """
    rules = _rules(facts)
    for index, denial in enumerate(rules):
        earlier = [rule for rule in rules[:index] if rule.covers(denial)]
        if denial.action == "allow":
            continue
        if denial.outwards:
            yield from _outgoing_effects(denial, earlier)
            continue
        pages = [
            str(port) for port in WEB_PORTS
            if not denial.routed and _denies(denial, earlier, port)
        ]  # fmt: skip
        servers_ports = [
            str(port)
            for port, (address, target_port) in sorted(targets.items())
            if denial.routed
            and _denies(denial, earlier, target_port)
            and ipaddress.IPv4Address(address) in denial.to
        ]
        people = not denial.source.prefixlen or not denial.source.subnet_of(STUDENTS)
        if (pages or servers_ports) and people:
            shut = " and ".join(pages or servers_ports)
            yield f"`{denial.words}` is in effect: it keeps {denial.excluded} out of {shut}"
        servers = denial.interface.startswith("gr-") or not denial.interface
        names = any(_denies(denial, earlier, port, "udp") for port in (53, 67))
        if not denial.routed and servers and names and denial.source.overlaps(STUDENTS):
            yield f"`{denial.words}` is in effect: it keeps servers from DNS and DHCP"


def _denies(denial: Rule, earlier: Iterable[Rule], port: int, protocol: str = "tcp") -> bool:
    """Whether a denial decides about a port, which no earlier rule allows."""
    allowed = any(rule.action == "allow" and rule.matches(port, protocol) for rule in earlier)
    return denial.matches(port, protocol) and not allowed


def denied_output(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) if UFW's default for outgoing packets keeps HAProxy from servers.

    Rules of UFW's users may let out what HAProxy sends.
    """
    if facts.get("ufw_output") not in ("DROP", "REJECT"):
        return
    allowed = [rule for rule in _rules(facts) if rule.action == "allow" and rule.outwards]
    let_out = {
        port
        for port in WEB_PORTS
        for rule in allowed
        if rule.matches(port) and STUDENTS.subnet_of(rule.to) and _by_bridges(rule)
    }
    if shut := [str(port) for port in WEB_PORTS if port not in let_out]:
        yield (
            (
                "UFW lets nothing out of the host by default: HAProxy does not reach "
                f"{' and '.join(shut)} of the servers"
            ),
            f"ufw allow out to {STUDENTS}",
        )


def _by_bridges(rule: Rule) -> bool:
    return not rule.interface or rule.interface.startswith("gr-")


def _outgoing_effects(denial: Rule, earlier: Sequence[Rule]) -> Iterator[str]:
    """Yield a note on each effect of a denial of outgoing packets, HAProxy's or dnsmasq's."""
    if not denial.to.overlaps(STUDENTS) or denial.interface.startswith(("lo", "docker", "virbr")):
        return
    bridges = _by_bridges(denial)
    if pages := [str(port) for port in WEB_PORTS if bridges and _denies(denial, earlier, port)]:
        shut = " and ".join(pages)
        yield f"`{denial.words}` is in effect: HAProxy does not reach {shut} of the servers"
    if bridges and _denies(denial, earlier, 68, "udp"):
        yield f"`{denial.words}` is in effect: servers get no address by DHCP"


def _denials(facts: HostFacts) -> list[Rule]:
    return [rule for rule in _rules(facts) if rule.action != "allow"]


def _rules(facts: HostFacts) -> list[Rule]:
    """Return the users' rules, from the comments that UFW keeps beside them.

    The fields are action, protocol, ports, destination, source ports, source, perhaps two names of
    applications, perhaps the direction; UFW skips lines of other lengths (`get_rules` in its
    backend_iptables.py). IPv6 rules and rules for source ports, which few people meet, are skipped.
    """
    rules = []
    for line in facts.get("ufw_rules", ()):
        fields = line.removeprefix("### tuple ### ").split()
        fields = [field for field in fields if not field.startswith("comment=")]
        if not 6 <= len(fields) <= 9:  # noqa: PLR2004
            continue
        action, protocol, ports, to, source_ports, source, *rest = fields
        direction = rest[-1] if len(rest) % 2 else "in"
        routed = action.startswith("route:")
        action, _log, _logged = action.removeprefix("route:").partition("_")
        if ":" in to or ":" in source or source_ports != "any":
            continue
        if not re.fullmatch(r"any|[\d:,]+", ports):
            # Somebody wrote the name of a service, which UFW itself does not.
            continue
        outwards = not routed and direction.startswith("out")
        interface = direction.partition("!")[0].removeprefix("in").removeprefix("_")
        if outwards:
            interface = direction.removeprefix("out").removeprefix("_")
        interface = "" if interface.startswith("out") else interface
        leaves = re.search(r"(?:^|!)out_(\S+)", direction)
        if routed and leaves and not leaves.group(1).startswith("gr-"):
            # It is for packets that leave by somebody else's interface.
            continue
        words = [
            action,
            *(["log"] if _log else []),
            *(["out"] if outwards else []),
            *([*(() if outwards else ["in"]), "on", interface] if interface else []),
        ]
        words += [protocol] if protocol != "any" else []
        words += [] if source == "0.0.0.0/0" else ["from", source]
        words += [] if to == "0.0.0.0/0" else ["to", to]
        words += [] if ports == "any" else ["port", ports]
        rules.append(
            Rule(
                action,
                routed,
                outwards,
                protocol,
                unmanaged_nat.ports_of(ports) if ports != "any" else (),
                ipaddress.IPv4Network(to, strict=False),
                ipaddress.IPv4Network(source, strict=False),
                interface,
                " ".join(["ufw", *(["route"] if routed else []), *words]),
            )
        )
    return rules
