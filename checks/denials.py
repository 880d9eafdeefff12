"""UFW rules of others that deny something: those that work, and those that DNAT bypasses. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping

from checks.conflicts import STUDENTS, WEB_PORTS
from remote.surveys.facts import HostFacts
from remote.unmanaged import nat as unmanaged_nat


@dataclasses.dataclass(frozen=True)
class Denial:
    """A rule of UFW that denies something.

    Attributes:
        action: `deny`, `reject` or `limit`.
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

    @property
    def excluded(self) -> str:
        """The people whom it keeps out."""
        source = f" from {self.source}" if self.source.prefixlen else ""
        return f"people{source}{f' by {self.interface}' if self.interface else ''}"


def void(facts: HostFacts, targets: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """Yield denials without effect, since DNAT comes before UFW's rules; with one that works.

    Args:
        facts: The host's.
        targets: By port of the host, the address and port that it forwards to.

    """
    for denial in _denials(facts):
        inwards = not (denial.routed or denial.outwards)
        if inwards and not denial.ports and denial.matches(22) and _is_general(denial):
            on = f" in on {denial.interface}" if denial.interface else ""
            source = denial.source if denial.source.prefixlen else "any"
            yield (
                f"`{denial.words}` keeps nobody out of the servers' ports, which DNAT forwards "
                f"before UFW filters. This rule does: ufw route insert 1 {denial.action}{on} from "
                f"{source} to {STUDENTS}"
            )
        for port, (address, target_port) in sorted(targets.items()):
            works = denial.matches(target_port) and ipaddress.IPv4Address(address) in denial.to
            # By the time that UFW forwards it, a connection has the server's address and port.
            routed = denial.routed and not works and _may_mean_the_host(denial.to)
            if (inwards or routed) and denial.ports and denial.matches(port):
                source = denial.source if denial.source.prefixlen else "any"
                on = f" in on {denial.interface}" if denial.interface else ""
                yield (
                    f"`{denial.words}` keeps nobody out of {port}: DNAT forwards that port "
                    "before UFW filters. This rule works: ufw route insert 1 "
                    f"{denial.action}{on} proto tcp from "
                    f"{source} to {address} port {target_port}"
                )


def _may_mean_the_host(to: ipaddress.IPv4Network) -> bool:
    """Whether a rule to a network may be meant for the ports that people dial at the lab host."""
    return not to.prefixlen or to.prefixlen == to.max_prefixlen or to.overlaps(STUDENTS)


def _is_general(denial: Denial) -> bool:
    """Whether a denial is of people, for the host as a whole."""
    people = denial.source.prefixlen or denial.interface
    return (
        bool(people)
        and not denial.to.prefixlen
        and not denial.interface.startswith("gr-")
        and (not denial.source.prefixlen or not denial.source.subnet_of(STUDENTS))
    )


def effective(facts: HostFacts, targets: Mapping[int, tuple[str, int]]) -> Iterator[str]:
    """Yield denials that do keep somebody out of pages or servers, so that nobody searches long."""
    for denial in _denials(facts):
        if denial.outwards:
            yield from _kept_in(denial)
            continue
        pages = [str(port) for port in WEB_PORTS if not denial.routed and denial.matches(port)]
        servers_ports = [
            str(port)
            for port, (address, target_port) in sorted(targets.items())
            if denial.routed
            and denial.matches(target_port)
            and ipaddress.IPv4Address(address) in denial.to
        ]
        people = not denial.source.prefixlen or not denial.source.subnet_of(STUDENTS)
        if (pages or servers_ports) and people:
            shut = " and ".join(pages or servers_ports)
            yield f"`{denial.words}` is in effect: it keeps {denial.excluded} out of {shut}"
        servers = denial.interface.startswith("gr-") or not denial.interface
        names = denial.matches(53, "udp") or denial.matches(67, "udp")
        if not denial.routed and servers and names and denial.source.overlaps(STUDENTS):
            yield f"`{denial.words}` is in effect: it keeps servers from DNS and DHCP"
    if facts.get("ufw_output") in ("DROP", "REJECT"):
        yield (
            "UFW lets nothing out of the host by default: HAProxy reaches no server. "
            "This lets it: ufw allow out to 10.64.0.0/12"
        )


def _kept_in(denial: Denial) -> Iterator[str]:
    """Yield what a denial keeps the host itself from: HAProxy dials servers, dnsmasq answers."""
    if not denial.to.overlaps(STUDENTS) or denial.interface.startswith(("lo", "docker", "virbr")):
        return
    bridges = not denial.interface or denial.interface.startswith("gr-")
    if pages := [str(port) for port in WEB_PORTS if bridges and denial.matches(port)]:
        shut = " and ".join(pages)
        yield f"`{denial.words}` is in effect: HAProxy does not reach {shut} of the servers"
    if bridges and denial.matches(68, "udp"):
        yield f"`{denial.words}` is in effect: servers get no address by DHCP"


def _denials(facts: HostFacts) -> list[Denial]:
    """Return the users' denials, from the comments that UFW keeps beside its rules.

    The fields are action, protocol, ports, destination, source ports, source, perhaps two names of
    applications, perhaps the direction; UFW skips lines of other lengths (`get_rules` in its
    backend_iptables.py). What has source ports of its own concerns few people.
    """
    denied = []
    for line in facts.get("ufw_rules", ()):
        fields = line.removeprefix("### tuple ### ").split()
        fields = [field for field in fields if not field.startswith("comment=")]
        if not 6 <= len(fields) <= 9:  # noqa: PLR2004
            continue
        action, protocol, ports, to, source_ports, source, *rest = fields
        direction = rest[-1] if len(rest) % 2 else "in"
        routed = action.startswith("route:")
        action, _log, _logged = action.removeprefix("route:").partition("_")
        if action == "allow" or ":" in to or ":" in source or source_ports != "any":
            continue
        outwards = not routed and direction.startswith("out")
        interface = direction.partition("!")[0].removeprefix("in").removeprefix("_")
        if outwards:
            interface = direction.removeprefix("out").removeprefix("_")
        interface = "" if interface.startswith("out") else interface
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
        denied.append(
            Denial(
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
    return denied
