"""The spec of a program run in a container."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from core import codec, problems, validators
from providers.lxd.inside_spec import InsideSpec
from providers.lxd.script import Circumstances, Script

# A change of these alone does not run the program again.
QUIET = frozenset({*codec.MARKS, "host", "timeout", "delete", "starts_over"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecSpec(Circumstances, InsideSpec):
    """A program run once in a container, and again when its spec has changed.

    Attributes:
        script: A script, run by `sh -eu`, or by the interpreter of its `#!` line.
        delete: A script that undoes it, run when the resource is deleted, and before another script
            takes its place.
        starts_over: Whether a failure marks the container, so that the next run recreates it.
    """

    MARKED: ClassVar[bool] = False

    script: str
    delete: str = ""
    starts_over: bool = False

    def mistakes(self) -> list[problems.Mistake]:
        """Return the mistakes in the values, without secrets' values."""
        mistakes = []
        if not self.script:
            mistakes.append(problems.Mistake("script", "is empty: what is to run?"))
        container = ("container", self.container, validators.problem_of_name(self.container))
        return mistakes + problems.collect([container, *self.checks()])


def script(spec: ExecSpec) -> Script:
    """Return the script that runs the program."""
    names = [field.name for field in dataclasses.fields(Circumstances)]
    return Script(text=spec.script, **{name: getattr(spec, name) for name in names})


def undoing_script(spec: ExecSpec) -> Script:
    """Return the script that undoes it."""
    return dataclasses.replace(script(spec), text=spec.delete, creates="", unless="")
