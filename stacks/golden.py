"""The spec of a golden image, from the stack file of an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from core import codec, problems, validators
from hosts import url
from stacks import allocation, recipe, settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldenSpec:
    """A golden image and its builder."""

    KIND: ClassVar[Literal["image"]] = "image"

    owner: str
    id: str
    host: str
    alias: str
    recipe: recipe.ReadRecipe
    builder: str
    project: str
    bridge: str
    gateway: str
    subnet: str
    address: str
    adopt: bool

    @property
    def base_alias(self) -> str:
        """The alias of the image that the builder starts from."""
        return f"{self.owner.rpartition('/')[2]}-base"


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> GoldenSpec:
    """Read the configuration of an image stack; the arguments are those of `spec.parse`.

    Raises:
        problems.Mistakes: All mistakes in it and in its recipe.
    """
    mistakes = [
        problems.Mistake(key.partition(":")[2], "is a secret, and an image is for everybody.")
        for key in secrets
        if key in config
    ]
    plain = {key: text for key, text in config.items() if key not in secrets}
    given = settings.load(settings.ImageSettings, plain, mistakes)
    number = given.number or 1
    network = allocation.builder_network(number)
    mistakes += codec.beside(mistakes, problems.collect(_checks(given)))
    read, wrong = _recipe(given.recipe)
    named = [problems.Mistake(f"{settings.NAMESPACE}:{m.key}", m.reason) for m in mistakes]
    if named or wrong or read is None:
        raise problems.Mistakes(sorted(named, key=lambda mistake: mistake.key) + wrong)
    return GoldenSpec(
        owner=f"{project}/{stack}",
        id=given.id,
        host=given.host,
        alias=given.alias or read.alias,
        recipe=read,
        builder=f"build-{read.name}"[: validators.MAX_LABEL].rstrip("-"),
        project=allocation.project(f"image-{stack}"),
        bridge=allocation.builder_bridge(number),
        gateway=f"{network}.1",
        subnet=f"{network}.0/24",
        address=f"{network}.10",
        adopt=given.adopt,
    )


def _checks(given: settings.ImageSettings) -> problems.Checks:
    yield "id", given.id, validators.problem_of_lab_id(given.id)
    yield "host", url.without_password(given.host), url.problem(given.host)
    if given.alias:
        yield "alias", given.alias, validators.problem_of_alias(given.alias)
    if not 0 <= given.number <= allocation.MAX_BUILDERS:
        problem = f"is out of range. 1 to {allocation.MAX_BUILDERS}, one an image stack and host."
        yield "number", given.number, problem
    known = recipe.names()
    if given.recipe not in known:
        hint = problems.near(given.recipe, known)
        yield "recipe", given.recipe, f"is not a recipe: {', '.join(known)}.{hint}"


def _recipe(name: str) -> tuple[recipe.ReadRecipe | None, list[problems.Mistake]]:
    if name not in recipe.names():
        return None, []
    try:
        return recipe.read(name), []
    except problems.Mistakes as error:
        return None, error.mistakes
