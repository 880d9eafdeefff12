"""The kinds of stacks: a student's lab, a golden image, or the lab host itself."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Union

from core import problems
from stacks import settings

if TYPE_CHECKING:
    from stacks.golden import GoldenSpec
    from stacks.lab_host import LabHostSpec
    from stacks.spec import LabSpec

# The module that parses each kind.
_MODULES = {"student": "stacks.spec", "image": "stacks.golden", "host": "stacks.lab_host"}
AnySpec = Union["LabSpec", "GoldenSpec", "LabHostSpec"]


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> AnySpec:
    """Read a stack's configuration by its `grappe:kind`; the arguments are those of `spec.parse`.

    A run imports only the modules of its own kind of stack.

    Raises:
        problems.Mistakes: All mistakes in it.
    """
    kind = config.get(f"{settings.NAMESPACE}:kind", "student")
    if kind not in settings.KINDS:
        hint = problems.near(kind, settings.KINDS)
        known = ", ".join(settings.KINDS)
        reason = f"{problems.show(kind)} is not a kind of stack: {known}.{hint}"
        raise problems.Mistakes([problems.Mistake(f"{settings.NAMESPACE}:kind", reason)])
    module = importlib.import_module(_MODULES[kind])
    parsed: AnySpec = module.parse(config, project=project, stack=stack, secrets=secrets)
    return parsed
