"""The spec of a tunnel's key."""

from __future__ import annotations

import dataclasses

from core import codec, problems, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeySpec(codec.Spec):
    """A pair of keys on the lab host; `name` is the student."""

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
