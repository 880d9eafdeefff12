"""The spec of a bridge allow: the filter rules that every NAT rule brings, alone."""

from __future__ import annotations

import dataclasses

from core import codec, problems, validators
from providers.fragments.fragment import Fragment, render


@dataclasses.dataclass(frozen=True, kw_only=True)
class BridgeAllowSpec(codec.Spec):
    """DHCP, DNS and the way out through UFW, for the bridge of a builder."""

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_comment(self.name)


def fragment(spec: BridgeAllowSpec) -> Fragment:
    """Return the fragment: no rule of its own, but it keeps the shared sections."""
    return render(spec, (), {"opening": True})
