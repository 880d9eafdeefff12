"""Plan a resource's changes from the recorded, the real and the wanted spec. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from core import codec, problems

S = TypeVar("S", bound=codec.Spec)
# The key of drift in a state, beside the fields of the spec.
DRIFT = "drift"
MISSING = "it is missing"


@dataclasses.dataclass(frozen=True)
class Reading(Generic[S]):
    """A real thing, as a driver reads it.

    Attributes:
        spec: Its real spec.
        outputs: Values that only the host knows.
        drift: Faults that no field of the spec expresses; empty without any.
        remake: The order to recreate it; empty without one.
    """

    spec: S
    outputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    drift: str = ""
    remake: str = ""


@dataclasses.dataclass(frozen=True)
class Changes:
    """The planned changes of a resource.

    Attributes:
        fields: The fields whose real value is not the wanted one.
        replaces: Those of them that force a replacement.
        drift: How the real thing differs from the recorded one, in words.
    """

    fields: frozenset[str]
    replaces: frozenset[str] = frozenset()
    drift: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything must change."""
        return bool(self.fields)


def between(
    kind: type[codec.Spec],
    recorded: Mapping[str, Any],
    reading: Reading[Any] | None,
    wanted: Mapping[str, Any],
    *,
    same_machine: bool,
) -> Changes:
    """Compare the recorded, the real and the wanted spec.

    Args:
        kind: The spec's class.
        recorded: The state, by field, encoded; it may lack newer fields.
        reading: The real thing; None if it is gone.
        wanted: The program's inputs, by field.
        same_machine: Whether the wanted host is the machine of the state.
    """
    moves = recorded.get("host") != wanted.get("host") and not same_machine
    if reading is None and moves:
        return Changes(frozenset({"host"}), frozenset({"host"}))
    if reading is None:
        return Changes(frozenset({"name"}), frozenset({"name"}), (MISSING,))
    was = {**codec.defaults(kind), **recorded}
    actual = {**was, **codec.encode(reading.spec)}
    names = {field.name for field in dataclasses.fields(kind)} - {"incarnation"}
    changed = {name for name in names if actual.get(name) != wanted.get(name)}
    if was.get("lab") != wanted.get("lab"):
        # If the lab had no id in this state, its things may carry one by now.
        changed.add("lab")
    drift = _drift(kind, was, actual, reading.drift)
    replaces = set(changed & kind.REPLACES)
    if actual.get("lab") and actual.get("lab") == wanted.get("lab"):
        # The lab was renamed: no replacement.
        replaces.discard("owner")
    if reading.remake:
        changed.add("generation")
        replaces.add("generation")
    if moves:
        changed.add("host")
        replaces.add("host")
    if drift:
        changed.add(DRIFT)
    return Changes(frozenset(changed), frozenset(replaces), drift)


def _drift(
    kind: type[codec.Spec], was: Mapping[str, Any], actual: Mapping[str, Any], faults: str
) -> tuple[str, ...]:
    """Return in words how the real thing differs from the recorded one, without secrets' values."""
    named = {field.name for field in dataclasses.fields(kind)}
    lines = sorted(
        words
        for name in named - kind.SECRETS - set(codec.MARKS)
        for words in _difference(name, was.get(name), actual.get(name))
    )
    lines += sorted(
        f"{name} was changed" for name in kind.SECRETS if was.get(name) != actual.get(name)
    )
    if was.get("incarnation") != actual.get("incarnation"):
        lines.append("another run, with another state, has taken it over")
    return (*lines, *(line for line in faults.splitlines() if line.strip()))


def _difference(name: str, was: object, now: object) -> Iterator[str]:
    """Yield the differences in words; of a group of settings only those that differ."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in was.keys() | now.keys():
            yield from _difference(f"{name}.{key}", was.get(key), now.get(key))
    elif was != now and now is None:
        yield f"{name} is not set, and was {_shown(was)}"
    elif was != now and was is None:
        yield f"{name} is {_shown(now)}, and was not set"
    elif was != now:
        yield f"{name} is {_shown(now)}, not {_shown(was)}"


def _shown(value: object) -> str:
    return problems.show("" if value is None else value)
