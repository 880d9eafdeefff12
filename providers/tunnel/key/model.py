"""What a tunnel's key is."""

from __future__ import annotations

import dataclasses

from core import codec, problems, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeySpec(codec.Spec):
    """A pair of keys on the lab host; `name` is the student."""

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values."""
        problem = validators.problem_of_name(self.name)
        return (
            [problems.Mistake("name", f"{problems.show(self.name)} {problem}")] if problem else []
        )
