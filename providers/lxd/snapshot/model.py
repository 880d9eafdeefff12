"""The spec of a snapshot."""

from __future__ import annotations

import dataclasses
import re

from core import problems, validators
from providers.lxd.inside_spec import InsideSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SnapshotSpec(InsideSpec):
    """A snapshot of a container, taken when the resource is created."""

    def _checks(self) -> problems.Checks:
        wrong = "is not the name of a snapshot. Letters, digits, . _ and -, at most 63."
        yield "name", self.name, "" if _NAME.fullmatch(self.name) else wrong
        yield "container", self.container, validators.problem_of_name(self.container)
