"""The spec of a student's network."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

from core import codec, problems, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSpec(codec.Spec):
    """An LXD bridge.

    Attributes:
        address: The bridge's own address with its prefix length: `10.64.1.1/24`.
        hosts: Entries of the bridge's own DNS: the address of each domain.
        config: LXD's network configuration beside Grappe's.
    """

    address: str
    hosts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_interface(self.name)
        try:
            ipaddress.IPv4Interface(self.address)
        except ValueError:
            yield "address", self.address, "is not an address with its prefix: 10.64.1.1/24"
        for domain, address in self.hosts.items():
            key = f"hosts.{domain}"
            yield key, domain, validators.problem_of_domain(domain)
            yield key, address, validators.problem_of_ipv4(address)


def settings(spec: NetworkSpec) -> dict[str, str]:
    """Return LXD's configuration of the bridge.

    `ipv4.firewall` is off because LXD's own accept for a bridge would come
    before UFW's rules and let one student's servers reach another's; Grappe's
    chains accept what the bridges need instead.
    """
    # `local` keeps queries for IPv6 addresses here: resolvers of the internet do not know the
    # names, and where they do not answer, every look-up would wait for them.
    answers = [
        f"address=/{domain}/{address}\nlocal=/{domain}/"
        for domain, address in sorted(spec.hosts.items())
    ]
    return {
        **spec.config,
        **({"raw.dnsmasq": "\n".join(answers)} if answers else {}),
        "ipv4.address": spec.address,
        "ipv4.firewall": "false",
        "ipv4.nat": "true",
        "ipv6.address": "none",
    }
