"""The driver of every kind whose resource is one fragment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from core import codec, problems
from providers import base
from providers.fragments import client
from providers.fragments.fragment import Fragment

S = TypeVar("S", bound=codec.Spec)


class FragmentDriver(base.Driver[S]):
    """Fragments of one kind on one host.

    Args:
        store: The host's fragment store for the kind.
        kind: The spec's class.
        render: Renders a spec's fragment.
    """

    def __init__(
        self, store: client.Client, kind: type[S], render: Callable[[S], Fragment]
    ) -> None:
        self._store = store
        self._kind = kind
        self._render = render

    def create(self, spec: S) -> base.Outputs:
        """Put the fragment; an interrupted run may have put it already."""
        base.report(spec, self._store.put(self._render(spec)))
        return {}

    def read(self, spec: S) -> base.Reading[S] | None:
        """Read the fragment on the host."""
        held = self._store.read(spec)
        if held is None:
            return None
        fragment, drift = held
        known = {field.name for field in dataclasses.fields(self._kind)}
        # Skip fields of an older Grappe; the comparison below reports other differences.
        written = {
            key: value for key, value in codec.clean(fragment["spec"]).items() if key in known
        }
        try:
            # The fragment's writer may know the same host under another URL.
            actual = codec.decode(self._kind, {**written, "host": spec.host})
        except problems.Mistakes as mistakes:
            return base.Reading(spec, drift=f"its fragment was changed by hand: {mistakes}")
        if not drift and actual == spec and not _same(fragment, self._render(spec).as_json()):
            drift = "its fragment was changed by hand, or is an older Grappe's"
        return base.Reading(actual, drift=drift)

    def delete(self, spec: S) -> None:
        """Remove the fragment."""
        base.report(spec, self._store.remove(spec))


def _same(fragment: dict[str, object], rendered: dict[str, object]) -> bool:
    kept = ("id", "owner", "keys", "parts", "format")
    return all(fragment.get(key) == rendered[key] for key in kept)
