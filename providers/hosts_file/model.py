"""The spec of a hosts entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core import codec, problems, validators
from providers.fragments.fragment import Fragment, render


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntrySpec(codec.Spec):
    """A line of a hosts file.

    Attributes:
        address: The address of the domains.
        domains: The domains.
    """

    address: str
    domains: tuple[str, ...]

    def _checks(self) -> problems.Checks:
        yield "address", self.address, validators.problem_of_ipv4(self.address)
        yield "domains", [], "" if self.domains else "is empty. At least one domain."
        for index, domain in enumerate(self.domains):
            yield f"domains[{index}]", domain, validators.problem_of_domain(domain)


def fragment(spec: EntrySpec) -> Fragment:
    """Return an entry's fragment."""
    line = f"{spec.address}\t{' '.join(spec.domains)}\t# {spec.id}"
    return render(spec, (f"hosts entry {domain}" for domain in spec.domains), {"line": line})


def shared_sections(path: str) -> Mapping[str, Any]:
    """Return what all entries share: the path of the hosts file."""
    return {"path": path}
