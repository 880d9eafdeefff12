"""What one resource contributes to shared files; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from remote import managed_block


@dataclasses.dataclass(frozen=True)
class Fragment:
    """What one resource contributes.

    Attributes:
        id: Its natural id.
        owner: Whose it is, as `project/stack`.
        lab: The id of that lab.
        keys: What only one fragment may hold, as a user reads it: `tcp/22222`.
        spec: The resource's spec as it goes on the wire.
        parts: What the target compiles.
        format: The oldest format of the store that knows its parts.
    """

    id: str
    owner: str
    lab: str
    keys: tuple[str, ...]
    spec: Mapping[str, Any]
    parts: Mapping[str, Any]
    format: int = managed_block.FORMAT

    def as_json(self) -> dict[str, Any]:
        """Return the fragment as it stands in its file."""
        return {**dataclasses.asdict(self), "keys": list(self.keys)}
