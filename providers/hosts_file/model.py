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

    def mistakes(self) -> list[problems.Mistake]:
        """Return the mistakes in the values."""
        mistakes = [
            problems.Mistake(f"domains[{index}]", f"{problems.show(domain)} {problem}")
            for index, domain in enumerate(self.domains)
            if (problem := validators.problem_of_domain(domain))
        ]
        if problem := validators.problem_of_ipv4(self.address):
            mistakes.append(problems.Mistake("address", f"{problems.show(self.address)} {problem}"))
        if not self.domains:
            mistakes.append(problems.Mistake("domains", "is empty. At least one domain."))
        return mistakes


def fragment(spec: EntrySpec) -> Fragment:
    """Return an entry's fragment."""
    line = f"{spec.address}\t{' '.join(spec.domains)}\t# {spec.id}"
    return render(spec, (f"hosts entry {domain}" for domain in spec.domains), {"line": line})


def shared_sections(path: str) -> Mapping[str, Any]:
    """Return what all entries share: the path of the hosts file."""
    return {"path": path}
