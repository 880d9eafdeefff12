"""Make, change and remove storage volumes."""

from __future__ import annotations

import dataclasses
from typing import Any

from providers import base
from providers.lxd import daemon, leftovers, ownership
from providers.lxd.volume import model


class VolumeDriver:
    """Custom volumes of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.VolumeSpec) -> base.Outputs:
        """Make the volume, unless an interrupted run left it."""
        if self._find(spec) is not None:
            return self.update(spec, spec)
        body = {"name": spec.name, "type": "custom", "content_type": "filesystem", **_body(spec)}
        path = f"storage-pools/{spec.pool}/volumes/custom"
        self._lxd.change("POST", path, body, project=spec.project)
        return {}

    def read(self, spec: model.VolumeSpec) -> base.Reading[model.VolumeSpec] | None:
        """Read the volume."""
        volume = self._find(spec)
        if volume is None:
            return None
        config = ownership.visible(volume["config"])
        actual = dataclasses.replace(ownership.marked(spec, volume["config"]), config=config)
        return base.Reading(actual)

    def update(self, old: model.VolumeSpec, new: model.VolumeSpec) -> base.Outputs:
        """Set its configuration; LXD grows it live, and shrinks it where possible."""
        del old
        volume = self._find(new) or {"config": {}}
        kept = {key: text for key, text in volume["config"].items() if key.startswith("volatile.")}
        body = _body(new)
        body["config"] = {**kept, **body["config"]}
        self._lxd.change("PUT", _path(new), body, project=new.project)
        return {}

    def delete(self, spec: model.VolumeSpec) -> None:
        """Remove the volume and all that is on it."""
        if self._find(spec) is not None:
            self._lxd.change("DELETE", _path(spec), project=spec.project)

    def empty(self, spec: model.VolumeSpec) -> list[str]:
        """Remove leftover containers of the lab that use the volume."""
        return leftovers.free(self._lxd, self._find(spec) or {}, spec)

    def _find(self, spec: model.VolumeSpec) -> dict[str, Any] | None:
        name = f"the volume {spec.id}"
        return ownership.find(self._lxd, _path(spec), spec, name, project=spec.project)


def _path(spec: model.VolumeSpec) -> str:
    return f"storage-pools/{spec.pool}/volumes/custom/{spec.name}"


def _body(spec: model.VolumeSpec) -> dict[str, Any]:
    return {
        "description": f"of {base.stack_of(spec.owner)}, made by Grappe",
        "config": {**spec.config, **ownership.marks(spec)},
    }
