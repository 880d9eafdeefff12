"""Students' labs as the looking commands know them: what a stack means, and what it put out."""

from __future__ import annotations

import dataclasses
from typing import Any

from cli import stack as stacks
from core import errors, problems
from engine.stack import Stack
from providers import base
from stacks import files, kinds, settings
from stacks.golden import GoldenSpec
from stacks.lab_host import LabHostSpec
from stacks.spec import LabSpec

AnySpec = LabSpec | GoldenSpec | LabHostSpec


@dataclasses.dataclass(frozen=True)
class Lab:
    """A student's lab.

    Attributes:
        stack: Its stack's name.
        spec: What its stack file means.
        cards: Its servers, as the stack's output says; empty where it is down.
        password: The administrator's; empty where there is none.
    """

    stack: str
    spec: LabSpec
    cards: list[dict[str, Any]]
    password: str = ""


def spec_of(name: str) -> AnySpec:
    """Return what a stack file means; refuse one that is wrong."""
    return _read(name)[0]


def load(name: str) -> Lab:
    """Return a student's lab, up or not."""
    spec, stack, config = _read(name)
    if not isinstance(spec, LabSpec):
        raise errors.BadInputError(
            f"{name} is no student's lab", seen=f"its kind is {kinds.kind_of(spec)}"
        )
    password, _secret = config.get(f"{settings.NAMESPACE}:{settings.PASSWORD}", ("", True))
    return Lab(name, spec, list(stack.outputs().get("servers", [])), password)


def standing(name: str) -> Lab:
    """Return a student's lab that is up."""
    lab = load(name)
    if not lab.cards:
        if any(str(item["type"]).endswith("/lxd:Container") for item in stacks.recorded(name)):
            raise errors.BadInputError(
                f"the `up` of {name} did not end: it has servers, and no card yet",
                do=f"./lab up {name} goes on from there, or says why it cannot",
            )
        raise errors.BadInputError(
            f"{name} is down: there is nothing to see", do=f"./lab up {name}"
        )
    return lab


def names() -> list[str]:
    """Return every stack that has a file here."""
    return files.names(stacks.folder())


def _read(name: str) -> tuple[AnySpec, Stack, dict[str, tuple[str, bool]]]:
    stack = stacks.select(name)
    config = stack.config()
    texts = {key: text for key, (text, _secret) in config.items()}
    secrets = [key for key, (_text, secret) in config.items() if secret]
    try:
        spec = kinds.parse(texts, project=stacks.PROJECT, stack=name, secrets=secrets)
    except problems.Mistakes as mistakes:
        text = f"stacks/Pulumi.{name}.yaml: {base.tell(mistakes.mistakes)}"
        raise errors.BadInputError(text) from mistakes
    return spec, stack, config
