"""Convert values between Pulumi's dynamic protocol and Grappe's dataclasses.

The protocol returns whole numbers as floats, drops keys whose value is None,
adds `__provider` to the properties, and carries Unknown in a preview. Inside,
Grappe uses frozen dataclasses.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from core import problems

# What the SDK puts in place of a value that a preview cannot know
# (pulumi.runtime.rpc.UNKNOWN, part of the protocol).
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PROVIDER_KEY = "__provider"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """The fields of every resource; each kind adds its own.

    Attributes:
        host: The URL of its host.
        owner: The stack that owns it, as `project/stack`.
        name: Its name, unique among its kind within the owner.
        lab: The id of its lab; empty where the stack file has none.
        incarnation: A random id that each create draws and marks the thing with; it tells the
            thing from others that had its name. An output, never an input.
    """

    # A change of one of these fields replaces the resource.
    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name"})
    # The state encrypts these fields, and no message shows them.
    SECRETS: ClassVar[frozenset[str]] = frozenset()
    # The natural id, by the fields.
    ID: ClassVar[str] = "{owner}/{name}"
    # Whether a thing on the host carries the spec's marks.
    MARKED: ClassVar[bool] = True

    host: str
    owner: str
    name: str
    lab: str = ""
    incarnation: str = ""

    @property
    def id(self) -> str:
        """The natural id, by default owner and name."""
        return self.ID.format(**vars(self))

    def _checks(self) -> problems.Checks:
        """Yield the checks of the values."""
        yield from ()

    def mistakes(self) -> list[problems.Mistake]:
        """Return all mistakes in the values."""
        return problems.collect(self._checks())


S = TypeVar("S")
M = TypeVar("M", bound=Spec)
# The fields of a spec that identify a thing.
MARKS = ("owner", "lab", "incarnation")


def marks(spec: Spec) -> dict[str, str]:
    """Return the marks that a spec's thing carries, by field."""
    return {field: getattr(spec, field) for field in MARKS}


def marked(spec: M, held: Mapping[str, Any]) -> M:
    """Return a spec with the marks that its thing really carries."""
    carried = {field: held.get(field) or "" for field in MARKS}
    return dataclasses.replace(typing.cast("Any", spec), **carried)  # type: ignore[no-any-return]


def clean(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Undo the protocol: no `__provider`, no None, whole floats as ints."""
    return {
        key: _plain(value)
        for key, value in properties.items()
        if key != PROVIDER_KEY and value is not None
    }


def has_unknown(value: object) -> bool:
    """Whether anything in a value is not known yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_unknown(item) for item in value)
    return value == UNKNOWN if isinstance(value, str) else type(value).__name__ == "Unknown"


def encode(value: Any) -> Any:
    """Encode a spec for the protocol, without None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: encode(item) for name, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def defaults(kind: type[Any]) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields, encoded for the protocol."""
    values = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            values[field.name] = encode(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            values[field.name] = encode(field.default_factory())
    return values


def decode(kind: type[S], properties: Mapping[str, Any]) -> S:
    """Turn properties into a frozen dataclass.

    Raises:
        problems.Mistakes: All keys that are unknown or missing, and all values of a wrong type.
    """
    mistakes: list[problems.Mistake] = []
    decoded = salvage(kind, properties, mistakes)
    if mistakes or decoded is None:
        raise problems.Mistakes(sorted(mistakes, key=lambda mistake: mistake.key))
    return decoded


def salvage(
    kind: type[S], properties: Mapping[str, Any], mistakes: list[problems.Mistake], path: str = ""
) -> S | None:
    """Decode the valid properties into a dataclass, and collect the mistakes.

    Args:
        kind: The dataclass.
        properties: Its fields, nested.
        mistakes: The list that mistakes are added to; a wrong field gets its default.
        path: The key of the properties themselves.

    Returns:
        None when a field without a default is wrong or missing; in a list, it is empty then, so
        that messages about later items name their indices.
    """
    known = {field.name: field for field in dataclasses.fields(typing.cast("Any", kind))}
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    whole = True
    mistakes += [
        problems.Mistake(_join(path, key), f"is not a setting.{problems.near(key, known)}")
        for key in map(str, properties.keys() - known.keys())
    ]
    for key, field in known.items():
        if key in properties:
            decoded = _decode_value(hints[key], properties[key], _join(path, key), mistakes)
            if decoded is not _WRONG:
                values[key] = decoded
                continue
        elif not _has_default(field):
            mistakes.append(problems.Mistake(_join(path, key), "is missing"))
        whole = whole and _has_default(field)
    if not whole and path.endswith("]"):
        return typing.cast("S", dataclasses.replace(_empty(kind), **values))
    return kind(**values) if whole else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return clean(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


_NAMES = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}
# Replaces a wrong value, which is already among the mistakes.
_WRONG = object()


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _decode_value(  # noqa: PLR0911 - one for each kind of value
    hint: Any, value: Any, path: str, mistakes: list[problems.Mistake]
) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) or (origin and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            mistakes.append(
                problems.Mistake(path, f"{problems.show(value)} is not a group of settings")
            )
            return _WRONG
        if origin is None:
            nested = salvage(typing.cast("type[Any]", hint), value, mistakes, path)
            return _WRONG if nested is None else nested
        items = {
            key: _decode_value(arguments[1], item, f"{path}.{key}", mistakes)
            for key, item in sorted(
                ((str(key), item) for key, item in value.items()), key=lambda pair: pair[0]
            )
        }
        return {key: item for key, item in items.items() if item is not _WRONG}
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            shown = problems.show(value)
            hint_at = f": [{value}]." if arguments[0] is str and isinstance(value, str) else ""
            mistakes.append(problems.Mistake(path, f"{shown} is not a list{hint_at}"))
            return _WRONG
        listed = [
            _decode_value(arguments[0], item, f"{path}[{index}]", mistakes)
            for index, item in enumerate(value)
        ]
        return tuple(_empty(arguments[0]) if item is _WRONG else item for item in listed)
    wrong = isinstance(value, bool) and hint is not bool
    if hint in _NAMES and (wrong or not isinstance(value, hint)):
        reason = f"{problems.show(value)} is not {_NAMES[hint]}{_as_written(hint, value)}"
        mistakes.append(problems.Mistake(path, reason))
        return _WRONG
    return value


def _as_written(hint: Any, value: Any) -> str:
    """Return how a value of another type would be right; nothing where that is unknown."""
    if hint is str and isinstance(value, (bool, int, float)):
        return f'. In quotes: "{problems.show(value)}".'
    if hint is int and isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,15}|0", value):
        return f". Without quotes: {value}."
    return ""


def _empty(hint: Any) -> Any:
    """Return an item without content, whose mistakes are reported already: see `beside`."""
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        required = {
            field.name: _empty(hints[field.name])
            for field in dataclasses.fields(hint)
            if not _has_default(field)
        }
        return typing.cast("type[Any]", hint)(**required)
    return hint() if hint in (str, int, bool, float) else None


def beside(
    known: Iterable[problems.Mistake], later: Iterable[problems.Mistake]
) -> list[problems.Mistake]:
    """Return later mistakes that are neither of a known mistake's value nor of a part of it."""
    keys = {mistake.key for mistake in known}

    def is_known(key: str) -> bool:
        ends = [match.start() for match in re.finditer(r"[.\[]", key)] + [len(key)]
        return any(key[:end] in keys for end in ends)

    return [mistake for mistake in later if not is_known(mistake.key)]
