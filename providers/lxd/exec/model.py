"""What a program run in a container is."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

from core import codec, problems, validators
from providers.lxd.job import Job

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A change of these alone does not run the program again.
QUIET = frozenset({*codec.MARKS, "host", "timeout", "fatal", "delete", "starts_over"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecSpec(codec.Spec):
    """A program run once in a container, and again when what it is has changed.

    Attributes:
        project: The container's LXD project.
        container: The container.
        container_id: The container's own id; another container means another run.
        argv: The program and its arguments; or else
        script: a script, run by `sh -eu`, or by what its first line says after `#!`.
        environment: Variables beside LXD's own.
        secrets: Variables whose values are shown nowhere.
        stdin: What it reads; shown nowhere.
        directory: Where it runs; empty for the user's home.
        user: Who runs it; empty for root.
        timeout: Seconds after which it is ended, and has failed.
        creates: A path: where it is there, there is nothing to do; where it goes, it runs again.
        unless: A shell command: where it succeeds, there is nothing to do.
        triggers: Anything; a change of it runs the program again.
        delete: A script that undoes it, run when the resource is deleted.
        fatal: Whether an exit status other than 0 is a failure.
        starts_over: Whether a failure marks the container, to be made anew by the next run.
    """

    MARKED: ClassVar[bool] = False

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name", "project", "container"})
    SECRETS: ClassVar[frozenset[str]] = frozenset({"secrets", "stdin"})

    project: str
    container: str
    container_id: str = ""
    argv: tuple[str, ...] = ()
    script: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: str = ""
    directory: str = ""
    user: str = ""
    timeout: int = 600
    creates: str = ""
    unless: str = ""
    triggers: tuple[str, ...] = ()
    delete: str = ""
    fatal: bool = True
    starts_over: bool = False

    @property
    def id(self) -> str:
        """The natural id: where, and what."""
        return f"{self.project}/{self.container}/{self.name}"

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values; a secret's value is not shown."""
        found = []
        if bool(self.argv) == bool(self.script):
            found.append(problems.Mistake("argv", "is what to run, or script is: one of the two."))
        if problem := validators.problem_of_name(self.container):
            found.append(
                problems.Mistake("container", f"{problems.show(self.container)} {problem}")
            )
        for group in ("environment", "secrets"):
            found += [
                problems.Mistake(f"{group}.{key}", "is not the name of a variable.")
                for key in getattr(self, group)
                if not _VARIABLE.fullmatch(key)
            ]
        for key in ("directory", "creates"):
            path = getattr(self, key)
            if path and not path.startswith("/"):
                found.append(
                    problems.Mistake(key, f"{problems.show(path)} is not a path from / on.")
                )
        if self.timeout < 1:
            found.append(
                problems.Mistake("timeout", f"{self.timeout} is not a time. Seconds, from 1.")
            )
        return found


def job(spec: ExecSpec) -> Job:
    """Return what is to be run."""
    return Job(
        script=spec.script or f"exec {shlex.join(spec.argv)}\n",
        **_how(spec),
        timeout=spec.timeout,
        creates=spec.creates,
        unless=spec.unless,
    )


def undoing(spec: ExecSpec) -> Job:
    """Return what undoes it."""
    return Job(script=spec.delete, **_how(spec), timeout=spec.timeout)


def _how(spec: ExecSpec) -> dict[str, Any]:
    names = ("environment", "secrets", "stdin", "directory", "user")
    return {name: getattr(spec, name) for name in names}
