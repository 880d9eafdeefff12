"""Read the stack files of a folder, without the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import difflib
import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import yaml

from core import errors, problems
from stacks import settings

# The kinds of scalars on which YAML 1.1, which PyYAML reads, and 1.2 differ.
_OWN = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float")}
# The contents of Pulumi.yaml beside its settings.
PROJECT = {
    "name": settings.NAMESPACE, "stackConfigDir": "stacks", "backend": {"url": "file://./.state"},
}  # fmt: skip
# A number that looks like a decimal one.
_OCTAL = re.compile(r"[-+]?0[0-7_]*[1-7][0-7_]*$")
# Keys of texts.
_TEXTS = re.compile(r"(?:^|[.:])(?:(config)|devices|environment)\.|\.mode$")
# Namespaces that a stack file may have.
_NAMESPACES = (settings.NAMESPACE, f"{settings.NAMESPACE}:config", "pulumi", "command")
# Floats represent all whole numbers below it exactly.
MOST_EXACT = 2**53
# The most brackets of a file that a person may have written.
MOST_NESTED = 5000
# The most values of a file with anchors; a class of 4,000 students has some 30,000.
MOST_VALUES = 100_000
# libyaml's faster loader if installed: a folder may hold the stack files of a class.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_BASE):  # type: ignore[misc]
    """Reads scalars as the engine does, by YAML 1.2: `no` and `on` are texts, `0o17` is 15."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, known) for tag, known in resolvers if tag not in _OWN]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that is there twice, as the engine does."""
        keys = [each.value for each, _value in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(twice)} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


class Dumper(yaml.SafeDumper):
    """Quotes the texts that the engine would read as something else: 12e456789012 is a number."""


for _tag, _pattern, _firsts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan)",
     "-+.0123456789"),
):  # fmt: skip
    for _kind in (Loader, Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_firsts)
        )


def _number(loader: Any, node: Any) -> float | str:
    """Return a number as the engine has it: 15.0 is 15, and 12e456789012 a text."""
    value = float(loader.construct_yaml_float(node))
    if math.isinf(value) and "inf" not in node.value.lower():
        return str(node.value)
    return int(value) if value.is_integer() and abs(value) < MOST_EXACT else value


def _moment(loader: Any, node: Any) -> str:
    """Return a date as the engine's text for it; an impossible date stays unchanged."""
    try:
        found = loader.construct_yaml_timestamp(node)
    except ValueError:
        return str(node.value)
    if not isinstance(found, dt.datetime):
        return f"{found} 00:00:00 +0000 UTC"
    return f"{found.replace(tzinfo=None)} +0000 UTC"


def _bytes(loader: Any, node: Any) -> str:
    return bytes(loader.construct_yaml_binary(node)).decode(errors="replace")


def _set(loader: Any, node: Any) -> dict[Any, None]:
    return dict.fromkeys(loader.construct_mapping(node))


Loader.add_constructor("tag:yaml.org,2002:float", _number)
Loader.add_constructor("tag:yaml.org,2002:timestamp", _moment)
Loader.add_constructor("tag:yaml.org,2002:binary", _bytes)
Loader.add_constructor("tag:yaml.org,2002:set", _set)


def load(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        yaml.YAMLError: It is no YAML, is nested too deeply, or its anchors expand without bound.
    """
    if text.count("[") + text.count("{") > MOST_NESTED:
        # libyaml would crash the process if they were nested this deeply.
        raise yaml.YAMLError(f"it has more than {MOST_NESTED} brackets")
    try:
        content = yaml.load(text, Loader)  # noqa: S506 - it is a safe one
        if "&" in text:
            demand_small(content)
            json.dumps(content)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise yaml.YAMLError(f"its anchors cannot be read: {error}") from error
    return content


def demand_small(content: Any) -> None:
    """Refuse a content whose anchors expand to too many values.

    Raises:
        ValueError: They are more than `MOST_VALUES`.
    """
    todo, count = [content], 0
    while todo:
        item, count = todo.pop(), count + 1
        if count > MOST_VALUES:
            raise ValueError(f"its anchors make more than {MOST_VALUES} values")
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)


def dump(content: Any) -> str:
    """Return a YAML text that the engine reads as this content."""
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False))


def path_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a stack's file."""
    return folder / f"Pulumi.{name}.yaml"


def names(folder: pathlib.Path) -> list[str]:
    """Return the stacks that have a file."""
    found = (path.name for path in folder.glob("Pulumi.*.yaml") if not path.is_dir())
    return sorted(name.removeprefix("Pulumi.").removesuffix(".yaml") for name in found)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A stack's configuration, as the engine gives it to the program.

    Attributes:
        plain: Texts by key, with Pulumi.yaml's defaults; of a structure, its JSON.
        secrets: Ciphertexts by key.
        salt: The salt of the key that encrypted them.
        unusual: What only the engine can interpret in the files; empty if there is nothing.
    """

    plain: dict[str, str]
    secrets: dict[str, str]
    salt: str = ""
    unusual: str = ""


def configuration(folder: pathlib.Path, name: str) -> Configuration:
    """Read a stack's whole configuration; `folder` is below that of Pulumi.yaml.

    Raises:
        errors.BadInputError: The file is no stack file.
    """
    read(folder, name)
    own = load(path_of(folder, name).read_text()) or {}
    project = load((folder.parent / "Pulumi.yaml").read_text())
    declared = {_key(key): item for key, item in (project.get("config") or {}).items()}
    defaults = {
        key: value for key, item in declared.items() if (value := _default(item)) is not None
    }
    given = {**defaults, **{_key(key): value for key, value in (own.get("config") or {}).items()}}
    secrets = {key: value["secure"] for key, value in given.items() if _is_secret(value)}
    plain = {key: _text(value) for key, value in given.items() if key not in secrets}
    unusual = _unusual(own, project)
    for key, value in given.items():
        kind = declared[key].get("type") if isinstance(declared.get(key), dict) else ""
        if kind in ("array", "object") and isinstance(value, str):
            unusual = f"{key} is a text, and its type is {kind}"
    return Configuration(plain, secrets, str(own.get("encryptionsalt") or ""), unusual)


def _key(text: object) -> str:
    """Return a setting's whole key: the engine puts the project's name before a bare one."""
    key = str(text).replace(":config:", ":", 1)
    return key if ":" in key else f"{settings.NAMESPACE}:{key}"


def _default(item: Any) -> Any:
    """Return a setting's value in Pulumi.yaml; None without one."""
    return item.get("value", item.get("default")) if isinstance(item, dict) else item


def _unusual(own: Mapping[str, Any], project: Mapping[str, Any]) -> str:
    """Return what only the engine can interpret in a stack file or in Pulumi.yaml."""
    if keys := sorted(map(str, own.keys() - {"config", "encryptionsalt"})):
        return f"the stack file has {', '.join(keys)}"
    differs = [key for key, value in PROJECT.items() if project.get(key) != value]
    known = {*PROJECT, "description", "config", "runtime"}
    differs += sorted(map(str, project.keys() - known))
    return f"Pulumi.yaml has another {', '.join(differs)}" if differs else ""


def has_passphrase(folder: pathlib.Path, name: str) -> bool:
    """Whether a passphrase, not the key of a cloud service, encrypts a stack file's secrets."""
    content = load(path_of(folder, name).read_text()) or {}
    return "encryptedkey" not in content and str(content.get("secretsprovider", "")) in (
        "", "passphrase",
    )  # fmt: skip


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Return the settings of a stack file, by key without the namespace.

    Raises:
        errors.BadInputError: The file is no YAML, or no stack file.
    """
    path = path_of(folder, name)
    try:
        content = load(path.read_text())
    except UnicodeDecodeError as error:
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} is not in UTF-8",
            seen=f"line {path.read_bytes()[: error.start].count(10) + 1}",
            do="save it as UTF-8 in your editor",
        ) from error
    except yaml.YAMLError as error:
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} cannot be read",
            seen=_likely_fault(path.read_text()) + str(error),
            do="fix that line, or restore the file from version control",
        ) from error
    config = (content.get("config") or {}) if isinstance(content, dict) else content or {}
    if not isinstance(config, dict):
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} is not a stack file",
            seen="its settings must be a group below `config:`",
        )
    start = f"{settings.NAMESPACE}:"
    whole = {_key(key): value for key, value in config.items()}
    return {key.removeprefix(start): whole[key] for key in whole if key.startswith(start)}


def _likely_fault(text: str) -> str:
    """Return the line with a fault whose consequences YAML reports elsewhere; or nothing."""
    for number, line in enumerate(text.splitlines(), start=1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return f"line {number} begins with a tab; YAML takes spaces alone\n"
        if any(ord(letter) < ord(" ") and letter != "\t" for letter in line):
            return f"line {number} has a control character\n"
        if match := re.match(rf"\s*({settings.NAMESPACE}:(?!config:)\w+):(?=\S)", line):
            return f"line {number} has no space behind {match.group(1)}:\n"
    return ""


def misread(folder: pathlib.Path, name: str) -> list[problems.Mistake]:
    """Return the values of a stack file that do not mean what they look like: 060 is octal."""
    path = path_of(folder, name)
    if not path.exists():
        return []
    text = path.read_text()
    content = load(text)
    outside = content.keys() if isinstance(content, dict) and "config" in content else ()
    start = f"{settings.NAMESPACE}:"
    return [
        *(
            problems.Mistake(key, "is outside of `config:`, and does not count: indent its line.")
            for key in map(str, outside)
            if key.startswith(start)
        ),
        *_misnamed(content),
        *misread_in(text),
    ]


def _misnamed(content: Any) -> Iterator[problems.Mistake]:
    """Yield the keys of a stack file that count for nothing, or twice, and look as if they did."""
    if not isinstance(content, dict):
        return
    for key in map(str, content):
        meant = difflib.get_close_matches(key.strip().lower(), ["config"], cutoff=0.75)
        if "config" not in content and meant:
            yield problems.Mistake(key, "does not count. Did you mean config?")
    config = content.get("config")
    seen: dict[str, str] = {}
    for key in map(str, config) if isinstance(config, dict) else ():
        namespace, colon, name = key.rpartition(":")
        whole = _key(key)
        if whole in seen:
            yield problems.Mistake(key, f"is there twice, as {seen[whole]} too. Remove one.")
        seen[whole] = key
        near = difflib.get_close_matches(
            namespace.strip().lower(), [settings.NAMESPACE], cutoff=0.8
        )
        if colon and near and namespace not in _NAMESPACES:
            reason = f"does not count. Did you mean {settings.NAMESPACE}:{name}?"
            yield problems.Mistake(key, reason)


def misread_in(text: str, key: str = "") -> list[problems.Mistake]:
    """Return the numbers and dates of a YAML text that `load` reads as others, as mistakes.

    Args:
        text: The text.
        key: The setting whose value it is; empty for a whole file.
    """
    return [
        problems.Mistake(name.removeprefix("config."), f"{node.value} {reason}")
        for name, node in _leaves(yaml.compose(text, Loader), key, set())
        if (reason := _misreading(name.removeprefix("config."), node))
    ]


def _leaves(node: Any, key: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of a YAML tree with their keys, each once even if anchors repeat it."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _leaves(value, f"{key}.{name.value}".removeprefix("."), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _leaves(value, f"{key}[{index}]", seen)
    elif node is not None:
        yield key, node


def _misreading(key: str, node: Any) -> str:
    """Return what a scalar means that looks like something else; nothing for any other."""
    kind, written = node.tag.rpartition(":")[2], node.value
    if kind == "timestamp":
        return f'is a date: write "{written}", in quotes.'
    if kind not in ("int", "float") or not written.isascii():
        return ""
    value = load(written)
    is_octal = kind == "int" and _OCTAL.match(written)
    text = _TEXTS.search(key)
    # As a number it is what it says: 0x2000, 7.0.
    if not is_octal and (not text or str(value) in (written, written.lstrip("0") or "0")):
        return ""
    meant = f"is the octal number {value}" if is_octal else f"is the number {value}"
    if text and not text.group(1):
        return f'{meant}: write "{written}", in quotes.'
    number = int(written.replace("_", "")) if is_octal else value
    return f'{meant}: write {number}, or "{written}" for a text.'


def others(folder: pathlib.Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the settings of the other stack files; of an unreadable one a few of its lines."""
    found = {}
    for other in names(folder):
        if other == name:
            continue
        try:
            found[other] = read(folder, other)
        except errors.BadInputError:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = _SALVAGED.findall(path_of(folder, other).read_text())
                if lines:
                    # The first of a key that is there twice.
                    found[other] = dict(reversed(lines))
        except OSError:
            continue
    return found


# A number that a file with a mistake has is somebody's too.
_SALVAGED = re.compile(
    r"^\s*['\"]?grappe:(number|host|kind|student|id)['\"]?: *['\"]?([^\s'\"#]+)", re.MULTILINE
)
