"""Students' labs for the read-only commands: the spec and the outputs of a stack."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cli import stack as stacks
from core import codec, errors, problems
from engine.stack import Stack
from hosts import url
from stacks import files, kinds, settings
from stacks.spec import LabSpec

# A placeholder for a secret whose value does not matter.
SECRET = "a-secret-of-its-own"  # noqa: S105 - it is none
# Pulumi's signature of a secret in a state.
CIPHERED = "4dabf18193072939515e22adb298388d"


@dataclasses.dataclass(frozen=True)
class Lab:
    """A student's lab.

    Attributes:
        stack: Its stack's name.
        spec: The spec from its stack file.
        cards: Its servers, from the stack's output; empty if it is down.
    """

    stack: str
    spec: LabSpec
    cards: list[dict[str, Any]]


class OtherKindError(errors.BadInputError):
    """The stack is not a student's lab."""


def host_of(text: str) -> str:
    """Return the URL of a host, given itself or by a stack that is on it.

    Raises:
        errors.BadInputError: It is no URL of a host, or the stack file is invalid.
    """
    if ":" not in text:
        return _read(text)[0].host
    if problem := url.problem(text):
        raise errors.BadInputError(f"{problems.show(url.without_password(text))} {problem}")
    return text


def load(name: str) -> Lab:
    """Return a student's lab, up or not.

    Raises:
        OtherKindError: The stack is an image's or a lab host's.
    """
    spec, stack = _read(name)
    if not isinstance(spec, LabSpec):
        raise OtherKindError(f"{name} is not a student's lab", seen=f"its kind is {spec.KIND}")
    domains = {server.name: list(server.domains) for server in spec.servers}
    cards = [
        {**card, "domains": domains.get(card["name"], [card["domain"]])}
        for card in _outputs(stack).get("servers", [])
    ]
    return Lab(name, spec, cards)


def password(name: str) -> str:
    """Return the administrator's password of a stack; empty without one."""
    config = stacks.select(name).config()
    return config.get(f"{settings.NAMESPACE}:{settings.PASSWORD}", ("", True))[0]


def load_up(name: str) -> Lab:
    """Return a student's lab that is up.

    Raises:
        OtherKindError: The stack is an image's or a lab host's.
        errors.BadInputError: The lab is down, or its `up` did not finish.
    """
    lab = load(name)
    demand_up(lab)
    return lab


def demand_up(lab: Lab) -> None:
    """Refuse a lab without a card.

    Raises:
        errors.BadInputError: The lab is down, or its `up` did not finish.
    """
    if lab.cards:
        return
    name = lab.stack
    if is_unfinished(lab):
        raise errors.BadInputError(
            f"the `up` of {name} did not finish: it has no card yet",
            do=f"./lab up {name} goes on from there, or says why it cannot",
        )
    raise errors.BadInputError(f"{name} is down: there is nothing to see", do=f"./lab up {name}")


def is_unfinished(lab: Lab) -> bool:
    """Whether an `up` of a lab was interrupted: it has made something, and there is no card.

    An `up` that its preflight refused has made nothing.
    """
    return not lab.cards and has_made(stacks.recorded(lab.stack))


def has_made(recorded: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a recorded state has something that a run made on a host."""
    made = (str(item["type"]) for item in recorded if item.get("custom"))
    return any(not kind.startswith("pulumi:") and not kind.endswith(":Preflight") for kind in made)


def names() -> list[str]:
    """Return the names of the stacks with a file here."""
    return files.names(stacks.folder())


def demand_valid(name: str) -> None:
    """Refuse a stack file with mistakes, before the engine starts.

    The engine itself would report only values of a wrong type, and one of them in each run.

    Raises:
        errors.BadInputError: Lists all mistakes.
    """
    if stacks.is_here():
        _read(name, files.misread(stacks.folder(), name))


def _read(name: str, mistakes: Sequence[problems.Mistake] = ()) -> tuple[kinds.AnySpec, Stack]:
    stack = stacks.select(name)
    config = _config(name) if stacks.is_here() else stack.config()
    texts = {key: text for key, (text, _secret) in config.items()}
    secrets = [key for key, (_text, secret) in config.items() if secret]
    spec = None
    try:
        spec = kinds.parse(texts, project=stacks.PROJECT, stack=name, secrets=secrets)
    except problems.Mistakes as found:
        mistakes = [*mistakes, *codec.beside(mistakes, found.mistakes)]
    if mistakes or spec is None:
        text = f"stacks/Pulumi.{name}.yaml: {problems.summary([*mistakes])}"
        raise errors.BadInputError(text)
    return spec, stack


def _config(name: str) -> dict[str, tuple[str, bool]]:
    """Return the configuration as the engine would, without secrets: {key: (text, whether secret)}.

    The engine takes half a second for it, mostly to decrypt secrets that these commands do not use.
    """
    config = files.configuration(stacks.folder(), name)
    plain = {key: (text, False) for key, text in config.plain.items()}
    return {**plain, **dict.fromkeys(config.secrets, (SECRET, True))}


def _outputs(stack: Stack) -> dict[str, Any]:
    """Return the program's outputs of the last `up`; nothing for a stack that is down."""
    if stacks.is_here():
        for item in stacks.recorded(stack.name):
            if item["type"] == "pulumi:pulumi:Stack":
                found = item.get("outputs") or {}
                if CIPHERED not in json.dumps(found):
                    return dict(found)
    return stack.outputs()
