"""What a backend is, and how it stands in haproxy.cfg."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from providers import rules, templates, wire
from providers.fragments.fragment import Fragment

# Seconds an old worker may live on with a connection that stays open.
HARD_STOP_SECONDS = 3600


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackendSpec(wire.Spec):
    """A backend: one server behind the host's shared frontends.

    Attributes:
        domains: The domains that lead to it, lower case.
        address: The server's address.
        http_port: The server's port for HTTP.
        https_port: The server's port for TLS, which HAProxy does not decipher.
        default: Whether it also gets what is for no known domain; one of a host may.
        adopts: Domains whose routing by hand, as the sheet has it, is taken over with it: all
            of the lab's, for the sheet routes them together.
    """

    domains: tuple[str, ...]
    address: str
    http_port: int = 80
    https_port: int = 443
    default: bool = False
    adopts: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The backend's name in HAProxy, without its mode."""
        return f"{self.owner}/{self.name}".replace("/", ".")

    def mistakes(self) -> list[wire.Mistake]:
        """Return what is wrong with the values."""
        checks: list[tuple[str, Any, str]] = [
            ("name", self.name, rules.name(self.name)),
            ("address", self.address, rules.ipv4(self.address)),
            ("http_port", self.http_port, rules.port(self.http_port)),
            ("https_port", self.https_port, rules.port(self.https_port)),
        ]
        if not self.domains:
            checks.append(("domains", [], "is empty. At least one domain."))
        for place, domain in enumerate(self.domains):
            problem = rules.domain(domain)
            if not problem and domain != domain.lower():
                problem = f'has capitals: "{domain.lower()}"?'
            checks.append((f"domains[{place}]", domain, problem))
        return wire.collect(checks)


def fragment(spec: BackendSpec) -> Fragment:
    """Return what a backend contributes: its sections, and its entries in the maps."""
    keys = [f"domain {domain}" for domain in spec.domains]
    if spec.default:
        keys.append("the default backend")
    return Fragment(
        id=spec.id,
        owner=spec.owner,
        lab=spec.lab,
        keys=tuple(keys),
        spec=wire.encode(spec),
        parts={
            "domains": list(spec.domains),
            "label": spec.label,
            "default": spec.default,
            "adopts": list(spec.adopts),
            "sections": templates.render(__file__, "backend.cfg.j2", backend=spec),
        },
    )


def frame() -> Mapping[str, Any]:
    """Return what all stacks share: the frontends."""
    text = templates.render(__file__, "frontends.cfg.j2")
    return {"frontends": text, "hard_stop": f"hard-stop-after {HARD_STOP_SECONDS}s"}
