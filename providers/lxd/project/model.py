"""What an LXD project is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from core import codec, problems, validators

# Images and profiles are the host's, shared by all; instances are the student's own.
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
        config: LXD's project configuration beside the features Grappe sets.
    """

    config: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values."""
        found = []
        if problem := validators.problem_of_name(self.name):
            found.append(problems.Mistake("name", f"{problems.show(self.name)} {problem}"))
        found += [
            problems.Mistake(f"config.{key}", "is set by Grappe itself")
            for key in self.config
            if key in FEATURES or key.startswith("user.grappe.")
        ]
        return found
