"""The common part of the specs of things inside a container."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from core import codec


@dataclasses.dataclass(frozen=True, kw_only=True)
class InsideSpec(codec.Spec):
    """A thing inside a container.

    Attributes:
        project: The container's LXD project.
        container: The container.
        container_id: The container's own id: in another container it is another thing.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name", "project", "container"})
    ID: ClassVar[str] = "{project}/{container}/{name}"

    project: str
    container: str
    container_id: str = ""
