"""The spec of a snapshot."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from core import codec, problems, validators

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SnapshotSpec(codec.Spec):
    """A snapshot of a container, taken when the resource is created.

    Attributes:
        project: The container's LXD project.
        container: The container.
        container_id: The container's own id; another container means another snapshot.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset(
        {"owner", "name", "project", "container", "container_id"}
    )

    project: str
    container: str
    container_id: str = ""

    @property
    def id(self) -> str:
        """The natural id: the container and the snapshot."""
        return f"{self.project}/{self.container}/{self.name}"

    def mistakes(self) -> list[problems.Mistake]:
        """Return the mistakes in the values."""
        mistakes = []
        if not _NAME.fullmatch(self.name):
            reason = "is not the name of a snapshot. Letters, digits, . _ and -, at most 63."
            mistakes.append(problems.Mistake("name", f"{problems.show(self.name)} {reason}"))
        if problem := validators.problem_of_name(self.container):
            mistakes.append(
                problems.Mistake("container", f"{problems.show(self.container)} {problem}")
            )
        return mistakes
