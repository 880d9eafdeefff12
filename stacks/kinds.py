"""The kinds of stacks: a student's lab, a golden image, or the lab host itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from core import problems
from stacks import golden, lab_host, settings, spec

AnySpec = spec.LabSpec | golden.GoldenSpec | lab_host.LabHostSpec


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> AnySpec:
    """Read a stack's configuration by its `grappe:kind`; the arguments are those of `spec.parse`.

    Raises:
        problems.Mistakes: All mistakes in it.

    """
    kind = config.get(f"{settings.NAMESPACE}:kind", "student")
    if kind == "image":
        return golden.parse(config, project=project, stack=stack, secrets=secrets)
    if kind == "host":
        return lab_host.parse(config, project=project, stack=stack, secrets=secrets)
    if kind == "student":
        return spec.parse(config, project=project, stack=stack, secrets=secrets)
    hint = problems.near(kind, settings.KINDS)
    reason = f"{problems.show(kind)} is not a kind of stack: {', '.join(settings.KINDS)}.{hint}"
    raise problems.Mistakes([problems.Mistake(f"{settings.NAMESPACE}:kind", reason)])


def kind_of(meant: AnySpec) -> str:
    """Return the `grappe:kind` of a spec."""
    if isinstance(meant, golden.GoldenSpec):
        return "image"
    return "host" if isinstance(meant, lab_host.LabHostSpec) else "student"
