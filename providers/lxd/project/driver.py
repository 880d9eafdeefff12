"""Make, change and remove LXD projects."""

from __future__ import annotations

import dataclasses
from typing import Any

from core import errors
from providers import base
from providers.lxd import daemon, leftovers, ownership
from providers.lxd.project import model


class ProjectDriver:
    """Projects of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.ProjectSpec) -> base.Outputs:
        """Make the project, or finish one that an interrupted run left."""
        project = self._find(spec)
        if project is None:
            body = {"name": spec.name, "description": _description(spec), "config": _config(spec)}
            self._lxd.change("POST", "projects", body)
            return {}
        return self.update(spec, spec)

    def read(self, spec: model.ProjectSpec) -> base.Reading[model.ProjectSpec] | None:
        """Read the project."""
        project = self._find(spec)
        if project is None:
            return None
        visible = ownership.visible(project["config"])
        # Leave unknown features of a newer LXD as they are.
        config = {key: text for key, text in visible.items() if not key.startswith("features.")}
        features = {key: project["config"].get(key, "") for key in model.FEATURES}
        drift = "" if features == model.FEATURES else f"its features are {features}"
        actual = dataclasses.replace(ownership.marked(spec, project["config"]), config=config)
        return base.Reading(actual, drift=drift)

    def update(self, old: model.ProjectSpec, new: model.ProjectSpec) -> base.Outputs:
        """Set its configuration."""
        del old
        project = self._find(new) or {"config": {}}
        kept = {
            key: value
            for key, value in project["config"].items()
            if key.startswith(("features.", "volatile."))
        }
        body = {"description": _description(new), "config": {**kept, **_config(new)}}
        self._lxd.change("PUT", f"projects/{new.name}", body)
        return {}

    def delete(self, spec: model.ProjectSpec) -> None:
        """Remove the project.

        Raises:
            errors.DaemonError: It holds instances that Grappe did not make, or LXD refuses.
        """
        if self._find(spec) is None:
            return
        try:
            self._lxd.change("DELETE", f"projects/{spec.name}")
        except errors.DaemonError as error:
            inside = self._lxd.get("instances", project=spec.name, recursion="1")
            names = " ".join(item["name"] for item in inside)
            if not names:
                raise
            raise errors.DaemonError(
                f"the LXD project {spec.name} still holds what Grappe did not make: {names}",
                seen=error.seen or error.brief,
                do=f"{self._lxd.program} delete {names} --project {spec.name}, or move it; then "
                "run it again",
            ) from error

    def empty(self, spec: model.ProjectSpec) -> list[str]:
        """Remove leftover containers and volumes of the lab."""
        if self._find(spec) is None:
            return []
        removed = []
        for thing in leftovers.inside(self._lxd, spec.name, spec):
            leftovers.remove(self._lxd, thing, spec)
            removed.append(f"{thing.kind} {thing.name}")
        return removed

    def _find(self, spec: model.ProjectSpec) -> dict[str, Any] | None:
        path, name = f"projects/{spec.name}", f"the LXD project {spec.name}"
        return ownership.find(self._lxd, path, spec, name)


def _config(spec: model.ProjectSpec) -> dict[str, str]:
    return {**spec.config, **model.FEATURES, **ownership.marks(spec)}


def _description(spec: model.ProjectSpec) -> str:
    return f"The lab of {base.stack_of(spec.owner)}, made by Grappe"
