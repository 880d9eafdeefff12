"""What a tunnel's key is."""

from __future__ import annotations

import dataclasses

from providers import rules, wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeySpec(wire.Spec):
    """A pair of keys on the lab host; `name` is the student."""

    def mistakes(self) -> list[wire.Mistake]:
        """Return what is wrong with the values."""
        problem = rules.name(self.name)
        return [wire.Mistake("name", f"{wire.show(self.name)} {problem}")] if problem else []
