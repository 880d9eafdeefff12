"""Read the stack files of a folder, without the engine."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import re
from typing import Any, ClassVar

import yaml

from core import errors
from stacks import settings

# The kinds of scalars on which YAML 1.1, which PyYAML reads, and 1.2 differ.
_OWN = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float")}
# libyaml's faster loader if installed: a folder may hold the stack files of a class.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_BASE):  # type: ignore[misc]
    """Reads scalars as the engine does, by YAML 1.2: `no` and `on` are texts, `0o17` is 15."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, known) for tag, known in resolvers if tag not in _OWN]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }


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
    """Return a float; or the text, where it is none that the engine can hold: 12e456789012."""
    value = float(loader.construct_yaml_float(node))
    return str(node.value) if math.isinf(value) and "inf" not in node.value.lower() else value


Loader.add_constructor("tag:yaml.org,2002:float", _number)


def load(text: str) -> Any:
    """Parse a YAML text; raise yaml.YAMLError for any other text."""
    return yaml.load(text, Loader)  # noqa: S506 - it is a safe one


def dump(content: Any) -> str:
    """Return a YAML text that the engine reads as this content."""
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False))


def path_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return the path of a stack's file."""
    return folder / f"Pulumi.{name}.yaml"


def names(folder: pathlib.Path) -> list[str]:
    """Return the stacks that have a file."""
    found = (path.name for path in folder.glob("Pulumi.*.yaml"))
    return sorted(name.removeprefix("Pulumi.").removesuffix(".yaml") for name in found)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A stack's configuration, as the engine gives it to the program.

    Attributes:
        plain: Texts by key, with Pulumi.yaml's defaults; of a structure, its JSON.
        secrets: Ciphertexts by key.
    """

    plain: dict[str, str]
    secrets: dict[str, str]


def configuration(folder: pathlib.Path, name: str) -> Configuration:
    """Read a stack's whole configuration; `folder` is below that of Pulumi.yaml.

    Raises:
        errors.BadInputError: The file is no stack file.

    """
    read(folder, name)
    own = load(path_of(folder, name).read_text()) or {}
    project = load((folder.parent / "Pulumi.yaml").read_text())
    defaults = {
        key: item["default"] for key, item in project["config"].items() if "default" in item
    }
    given = {**defaults, **(own.get("config") or {})}
    secrets = {key: value["secure"] for key, value in given.items() if _is_secret(value)}
    plain = {key: _text(value) for key, value in given.items() if key not in secrets}
    return Configuration(plain, secrets)


def has_passphrase(folder: pathlib.Path, name: str) -> bool:
    """Whether a passphrase encrypts a stack file's secrets, and no service's key."""
    content = load(path_of(folder, name).read_text()) or {}
    return "encryptedkey" not in content and str(content.get("secretsprovider", "")) in (
        "", "passphrase",
    )  # fmt: skip


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Return the settings of a stack file, by key without the namespace.

    Raises:
        errors.BadInputError: The file is no YAML, or no stack file.

    """
    path = path_of(folder, name)
    try:
        content = load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} cannot be read",
            seen=str(error),
            do="fix that line, or restore the file from version control",
        ) from error
    config = (content.get("config") or {}) if isinstance(content, dict) else content or {}
    if not isinstance(config, dict):
        raise errors.BadInputError(
            f"{path.parent.name}/{path.name} is not a stack file",
            seen="its settings must be a group below `config:`",
        )
    start = f"{settings.NAMESPACE}:"
    return {
        str(key).removeprefix(start): value
        for key, value in config.items()
        if str(key).startswith(start)
    }


def others(folder: pathlib.Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the settings of the other stack files, without unreadable ones."""
    found = {}
    for other in names(folder):
        if other != name:
            try:
                found[other] = read(folder, other)
            except (errors.BadInputError, OSError):
                continue
    return found
