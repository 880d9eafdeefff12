"""The spec of a program run in a container."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from core import codec, problems, validators
from providers.lxd.inside_spec import InsideSpec
from providers.lxd.script import Script

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A change of these alone does not run the program again.
QUIET = frozenset({*codec.MARKS, "host", "timeout", "delete", "starts_over"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecSpec(InsideSpec):
    """A program run once in a container, and again when its spec has changed.

    Attributes:
        script: A script, run by `sh -eu`, or by the interpreter of its `#!` line.
        environment: Variables beside LXD's own.
        directory: Its working directory; empty for the user's home.
        user: Its user; empty for root.
        timeout: Seconds after which Grappe ends it as failed.
        creates: A path: while it exists, the program need not run; when it goes, it runs again.
        unless: A shell command: if it succeeds, the program need not run.
        delete: A script that undoes it, run when the resource is deleted, and before another script
            takes its place.
        starts_over: Whether a failure marks the container, so that the next run recreates it.
    """

    MARKED: ClassVar[bool] = False

    script: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directory: str = ""
    user: str = ""
    timeout: int = 600
    creates: str = ""
    unless: str = ""
    delete: str = ""
    starts_over: bool = False

    def mistakes(self) -> list[problems.Mistake]:
        """Return the mistakes in the values, without secrets' values."""
        mistakes = []
        if not self.script:
            mistakes.append(problems.Mistake("script", "is empty: what is to run?"))
        mistakes += [
            problems.Mistake(f"environment.{key}", "is not the name of a variable.")
            for key in self.environment
            if not _VARIABLE.fullmatch(key)
        ]
        checks: list[tuple[str, Any, str]] = [
            ("container", self.container, validators.problem_of_name(self.container))
        ]
        for key in ("directory", "creates"):
            path = getattr(self, key)
            if path and not path.startswith("/"):
                checks.append((key, path, "is not an absolute path."))
        if self.timeout < 1:
            checks.append(("timeout", self.timeout, "is not a time. Seconds, from 1."))
        return mistakes + problems.collect(checks)


def script(spec: ExecSpec) -> Script:
    """Return the script that runs the program."""
    return Script(text=spec.script, creates=spec.creates, unless=spec.unless, **_options(spec))


def undoing_script(spec: ExecSpec) -> Script:
    """Return the script that undoes it."""
    return Script(text=spec.delete, **_options(spec))


def _options(spec: ExecSpec) -> dict[str, Any]:
    names = ("environment", "directory", "user", "timeout")
    return {name: getattr(spec, name) for name in names}
