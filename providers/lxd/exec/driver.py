"""Run a program in a container, and check whether its result is still there."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from core import errors, names, run
from providers import base
from providers.lxd import daemon, files, ownership, script_run
from providers.lxd.exec import model
from providers.lxd.script import OnLine

# The part of the output that the state keeps.
KEPT_CHARACTERS = 8192
START_SECONDS = 60
# Colour sequences in a program's output.
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class ExecDriver:
    """Programs in the containers of one daemon."""

    def __init__(self, lxd: daemon.Daemon, url: str, on_line: OnLine | None = None) -> None:
        self._lxd = lxd
        self._url = url
        self._on_line = on_line

    def create(self, spec: model.ExecSpec) -> base.Outputs:
        """Run the program; return its exit status and output.

        Raises:
            errors.CommandError: The program failed, or did not end in time.
            errors.DaemonError: The container is gone, or LXD refuses.
        """
        container = self._find(spec)
        if container is None:
            raise errors.DaemonError(
                f"{spec.id} has no container {spec.container} to run in on {self._url}",
                do="run it again",
            )
        if container["status"] != "Running":
            # A builder stopped since its publication, whose state was lost.
            self._start(spec)
        on_line = self._on_line or to_terminal(spec.container, spec.name)
        outcome = script_run.run(
            self._lxd, spec.project, spec.container, model.script(spec), on_line
        )
        if outcome.status != 0:
            self._mark(spec)
            raise self._failure(spec, outcome)
        return {
            "status": outcome.status,
            "stdout": outcome.stdout[-KEPT_CHARACTERS:],
            "stderr": outcome.stderr[-KEPT_CHARACTERS:],
        }

    def read(self, spec: model.ExecSpec) -> base.Reading[model.ExecSpec] | None:
        """Return the spec as done, unless the container is another or `creates` is gone."""
        container = self._find(spec)
        if container is None or spec.container_id not in {"", ownership.identity_of(container)}:
            return None
        inside = (self._lxd, spec.project, spec.container)
        if spec.creates and files.read(*inside, spec.creates) is None:
            return base.Reading(spec, drift=f"{spec.creates} is not there")
        return base.Reading(spec)

    def update(self, old: model.ExecSpec, new: model.ExecSpec) -> base.Outputs:
        """Run the program again, unless only fields in `QUIET` have changed."""
        if old.delete and old.delete != new.delete and old.script != new.script:
            # The new script does not undo the old one's effects, such as files of another user.
            self.delete(old)
        names = {field.name for field in dataclasses.fields(new)}
        changed = {name for name in names if getattr(old, name) != getattr(new, name)}
        if changed and changed <= model.QUIET:
            return {}
        return self.create(new)

    def delete(self, spec: model.ExecSpec) -> None:
        """Run the undoing script if the container still exists and runs.

        Raises:
            errors.CommandError: The script failed, or did not end in time.
        """
        container = self._find(spec) if spec.delete else None
        if container is None or container["status"] != "Running":
            return
        if spec.container_id not in {"", ownership.identity_of(container)}:
            # The container is gone, and the program's effects with it.
            return
        on_line = self._on_line or to_terminal(spec.container, spec.name)
        outcome = script_run.run(
            self._lxd, spec.project, spec.container, model.undoing_script(spec), on_line
        )
        if outcome.status != 0:
            raise self._failure(spec, outcome)

    def _find(self, spec: model.ExecSpec) -> dict[str, Any] | None:
        return ownership.container(self._lxd, spec, spec.project, spec.container)

    def _start(self, spec: model.ExecSpec) -> None:
        path = f"instances/{spec.container}"
        self._lxd.change("PUT", f"{path}/state", {"action": "start"}, project=spec.project)
        script_run.wait_for_boot(self._lxd, spec.project, spec.container, START_SECONDS)

    def _mark(self, spec: model.ExecSpec) -> None:
        """Mark the container as half done."""
        if spec.starts_over:
            path, body = f"instances/{spec.container}", {"config": {names.STAGE: names.RECREATE}}
            self._lxd.change("PATCH", path, body, project=spec.project)

    def _failure(self, spec: model.ExecSpec, outcome: script_run.Outcome) -> errors.CommandError:
        ended = f"exited with {outcome.status}"
        if outcome.timed_out:
            ended = f"did not end within {spec.timeout} s"
        again = "starts over with a new container" if spec.starts_over else "goes on from here"
        enter = f"{self._lxd.program} exec {spec.container} --project {spec.project} -- bash"
        return errors.CommandError(
            f"{spec.name} {ended} in {spec.project}/{spec.container} on {self._url}",
            seen=outcome.tail(),
            do=f"inspect it: {enter}; then run it again: it {again}",
        )


def to_terminal(container: str, name: str) -> OnLine:
    """Return a function that writes a program's lines to the engine's output."""

    def report(line: str) -> None:
        run.report(f"{container} {name} | {_COLOURS.sub('', line)}")

    return report
