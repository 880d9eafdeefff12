"""The spec of a backend, and its lines in HAProxy's maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core import codec, problems, templates, validators
from providers.fragments.fragment import Fragment, render
from remote import haproxy_maps

# Seconds that an old worker may live on with an open connection.
HARD_STOP_SECONDS = 3600
# The suffix of the name of a backend for a server being installed.
PAGE = "_page"
# Pages for servers that are not up, in French and in English.
PAGES = {
    haproxy_maps.INSTALLING: (
        "Ce serveur est en cours d'installation. Cette page se recharge toute seule.",
        "This server is being installed. This page reloads by itself.",
    ),
    haproxy_maps.STOPPED: (
        "Ce serveur est arrêté. Demandez à votre enseignant de le démarrer.",
        "This server is stopped. Ask your teacher to start it.",
    ),
    "silent": (
        "Ce serveur ne répond pas. Il redémarre peut-être ; sinon, prévenez votre enseignant.",
        "This server does not answer. It may be restarting; otherwise tell your teacher.",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackendSpec(codec.Spec):
    """A backend: one server behind the host's shared frontends.

    Attributes:
        domains: The domains that lead to it, lower case, also with one more label in front.
        address: The server's address.
        state: `up`, or why HAProxy does not forward to it: `stopped`, or `installing`, which
            another backend of the same domains overrides.
        default: Whether it also gets requests for unknown domains; only one a host may.
        adopts: Domains whose routing by the sheet it takes over: all of the lab's, for the sheet
            routes them together.
    """

    domains: tuple[str, ...]
    address: str
    state: str = haproxy_maps.UP
    default: bool = False
    adopts: tuple[str, ...] = ()

    def _checks(self) -> problems.Checks:
        states = (haproxy_maps.UP, haproxy_maps.STOPPED, haproxy_maps.INSTALLING)
        yield "name", self.name, validators.problem_of_name(self.name.removesuffix(PAGE))
        yield "address", self.address, validators.problem_of_ipv4(self.address)
        yield "state", self.state, "" if self.state in states else f"is not one of {states}."
        yield "domains", [], "" if self.domains else "is empty. At least one domain."
        for index, domain in enumerate(self.domains):
            problem = validators.problem_of_domain(domain)
            if not problem and domain != domain.lower():
                problem = f'has capitals: "{domain.lower()}"?'
            yield f"domains[{index}]", domain, problem


def fragment(spec: BackendSpec) -> Fragment:
    """Return a backend's fragment: its lines of the maps."""
    kind = "page" if spec.state == haproxy_maps.INSTALLING else "domain"
    keys = [f"{kind} {domain}" for domain in spec.domains]
    if spec.default and spec.state != haproxy_maps.INSTALLING:
        keys.append("the default backend")
    parts = {
        "domains": list(spec.domains),
        "state": spec.state,
        "default": spec.default,
        "adopts": list(spec.adopts),
    }
    # An older Grappe would expect sections, which it no longer has.
    return render(spec, keys, parts, format=2)


def shared_sections() -> Mapping[str, Any]:
    """Return the sections that all stacks share: the frontends, and the pages."""
    return {
        "frontends": templates.render(__file__, "frontends.cfg.j2", maps=haproxy_maps),
        "hard_stop": f"hard-stop-after {HARD_STOP_SECONDS}s",
        "pages": {
            haproxy_maps.page(state): templates.render(
                __file__, "page.html.j2", french=french, english=english
            )
            for state, (french, english) in PAGES.items()
        },
    }
