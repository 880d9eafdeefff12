"""A fragment: one resource's part of shared files; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from core import codec
from remote import managed_block


@dataclasses.dataclass(frozen=True)
class Fragment:
    """One resource's part of shared files.

    Attributes:
        id: Its natural id.
        owner: The stack that owns it, as `project/stack`.
        lab: The id of its lab.
        keys: Keys that only one fragment may hold, as a user reads them: `tcp/22222`.
        spec: The resource's encoded spec.
        parts: The target's input.
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
        """Return the fragment as JSON for its file."""
        return {**dataclasses.asdict(self), "keys": list(self.keys)}


def render(
    spec: codec.Spec,
    keys: Iterable[str],
    parts: Mapping[str, Any],
    *,
    format: int = managed_block.FORMAT,  # noqa: A002 - the field's name
) -> Fragment:
    """Return a spec's fragment with these keys and parts; see `Fragment`."""
    return Fragment(spec.id, spec.owner, spec.lab, tuple(keys), codec.encode(spec), parts, format)
