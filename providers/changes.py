"""What a plan does to a resource: what was recorded, what is there and what is wished. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from core import codec, problems

S = TypeVar("S", bound=codec.Spec)
# What a state says of drift, beside the fields of the spec.
DRIFT = "drift"
GONE = "it is gone"


@dataclasses.dataclass(frozen=True)
class Reading(Generic[S]):
    """What is really there.

    Attributes:
        spec: The thing as it is, in the words of its spec.
        outputs: What only the host knows of it.
        drift: What is wrong with it that the spec has no word for; empty when all is well.
        remake: Who ordered that it is made anew; empty where nobody did.
    """

    spec: S
    outputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    drift: str = ""
    remake: str = ""


@dataclasses.dataclass(frozen=True)
class Changes:
    """What is to be changed.

    Attributes:
        fields: What is there otherwise than it is wished.
        replaces: Those of them that mean another thing.
        drift: What is there otherwise than it was made, in words.
    """

    fields: frozenset[str]
    replaces: frozenset[str] = frozenset()
    drift: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.fields)


def between(
    kind: type[codec.Spec],
    recorded: Mapping[str, Any],
    reading: Reading[Any] | None,
    wanted: Mapping[str, Any],
    *,
    same_machine: bool,
) -> Changes:
    """Compare what was recorded, what is there and what is wished.

    Args:
        kind: The spec's class.
        recorded: The state, by field, as it goes on the wire; fields that have come since may lack.
        reading: What is there; None where it is gone.
        wanted: What the program wishes, by field.
        same_machine: Whether the host that is wished is the machine of the state.

    """
    if reading is None:
        return Changes(frozenset({"name"}), frozenset({"name"}), (GONE,))
    was = {**codec.defaults(kind), **recorded}
    actual = {**was, **codec.encode(reading.spec)}
    names = {field.name for field in dataclasses.fields(kind)} - {"incarnation"}
    changed = {name for name in names if actual.get(name) != wanted.get(name)}
    if was.get("lab") != wanted.get("lab"):
        # Where the lab had no id when this was recorded, its parts may carry it by now.
        changed.add("lab")
    drift = _drift(kind, was, actual, reading.drift)
    replaces = set(changed & kind.REPLACES)
    if actual.get("lab") and actual.get("lab") == wanted.get("lab"):
        # The lab was renamed, and goes on.
        replaces.discard("owner")
    if reading.remake:
        changed.add("generation")
        replaces.add("generation")
    if "host" in changed and not same_machine:
        replaces.add("host")
    if drift:
        changed.add(DRIFT)
    return Changes(frozenset(changed), frozenset(replaces), drift)


def _drift(
    kind: type[codec.Spec], was: Mapping[str, Any], actual: Mapping[str, Any], told: str
) -> tuple[str, ...]:
    """Return what is not as it was made, in words; a secret's value is not among them."""
    named = {field.name for field in dataclasses.fields(kind)}
    found = sorted(
        words
        for name in named - kind.SECRETS - set(codec.MARKS)
        for words in _difference(name, was.get(name), actual.get(name))
    )
    found += sorted(
        f"{name} was changed" for name in kind.SECRETS if was.get(name) != actual.get(name)
    )
    if was.get("incarnation") != actual.get("incarnation"):
        found.append("another run, with another state, has taken it over")
    return (*found, *(line for line in told.splitlines() if line.strip()))


def _difference(name: str, was: object, now: object) -> Iterator[str]:
    """Yield what differs, in words: of a group of settings only those that do."""
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
