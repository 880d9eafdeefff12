"""The spec of an LXD project."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from core import codec, problems, validators

# All projects share the host's images and profiles; instances are the student's own.
FEATURES = {
    "features.images": "false",
    "features.networks": "false",
    "features.profiles": "false",
    "features.storage.volumes": "true",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectSpec(codec.Spec):
    """An LXD project.

    Attributes:
        config: LXD's project configuration beside Grappe's features.
    """

    config: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
        for key in self.config:
            if key in FEATURES or key.startswith("user.grappe."):
                yield f"config.{key}", problems.UNSHOWN, "is set by Grappe itself"
