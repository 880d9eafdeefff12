"""The spec of a storage volume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from core import codec, problems, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSpec(codec.Spec):
    """A custom volume of a storage pool; a container's `disk` device attaches it.

    Attributes:
        project: Its LXD project.
        pool: Its storage pool.
        config: LXD's volume configuration: `{"size": "5GiB"}`.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name", "project", "pool"})
    ID: ClassVar[str] = "{project}/{pool}/{name}"

    project: str
    pool: str = "default"
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
        yield "pool", self.pool, validators.problem_of_name(self.pool)
