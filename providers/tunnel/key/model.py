"""What a tunnel's key is."""

from __future__ import annotations

import dataclasses

from core import codec, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeySpec(codec.Spec):
    """A pair of keys on the lab host; `name` is the student."""

    def mistakes(self) -> list[codec.Mistake]:
        """Return what is wrong with the values."""
        problem = validators.name(self.name)
        return [codec.Mistake("name", f"{codec.show(self.name)} {problem}")] if problem else []
