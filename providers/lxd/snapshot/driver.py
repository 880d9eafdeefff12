"""Take and remove snapshots; the container's config notes the owner of each beforehand."""

from __future__ import annotations

import dataclasses
from typing import Any

from core import errors
from providers import base
from providers.lxd import daemon, ownership
from providers.lxd.snapshot import model

MARK = "user.grappe.snapshot."


class SnapshotDriver:
    """Snapshots of one daemon's containers."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.SnapshotSpec) -> base.Outputs:
        """Take the snapshot, unless an interrupted run left it.

        Raises:
            errors.DaemonError: The container is gone, or LXD refuses.
            errors.NotOursError: Somebody else took a snapshot of this name.
        """
        container = self._container(spec)
        if container is None:
            raise errors.DaemonError(
                f"the snapshot {spec.id} was not taken: there is no container {spec.container}",
                do="./lab up of its stack recreates it",
            )
        snapshot = self._find(spec)
        if snapshot is not None and MARK + spec.name not in container["config"]:
            program = self._lxd.program
            raise errors.NotOursError(
                f"the snapshot {spec.id} exists already and was left alone",
                seen=f"taken {snapshot.get('created_at', 'by hand')}, not by Grappe",
                do=f"choose another name, or: {program} delete {spec.container}/{spec.name} "
                f"--project {spec.project}",
            )
        self._note(spec, f"{spec.owner} {spec.incarnation}")
        if snapshot is None:
            path, body = f"instances/{spec.container}/snapshots", {"name": spec.name}
            self._lxd.change("POST", path, body, project=spec.project, timeout=daemon.COPY_SECONDS)
            snapshot = self._find(spec) or {}
        return {"taken": str(snapshot.get("created_at", ""))}

    def read(self, spec: model.SnapshotSpec) -> base.Reading[model.SnapshotSpec] | None:
        """Read the snapshot; return None when it or its container is gone."""
        container, snapshot = self._container(spec), self._find(spec)
        if container is None or snapshot is None:
            return None
        mark = container["config"].get(MARK + spec.name, "")
        # A container that somebody restored with its snapshots has another id, and our mark.
        if not mark and spec.container_id not in {"", ownership.identity_of(container)}:
            return None
        owner, _space, incarnation = mark.partition(" ")
        actual = dataclasses.replace(spec, owner=owner or spec.owner, incarnation=incarnation)
        return base.Reading(actual, {"taken": str(snapshot.get("created_at", ""))})

    def update(self, old: model.SnapshotSpec, new: model.SnapshotSpec) -> base.Outputs:
        """Note the new owner; take the snapshot if the container is new."""
        del old
        # A restore of an earlier snapshot takes the container's config back, and our mark with it.
        self._note(new, f"{new.owner} {new.incarnation}")
        return self.create(new)

    def delete(self, spec: model.SnapshotSpec) -> None:
        """Remove the snapshot."""
        container = self._container(spec)
        if container is None or MARK + spec.name not in container["config"]:
            return
        if self._find(spec) is not None:
            self._lxd.change("DELETE", _path(spec), project=spec.project)
        self._note(spec, "")

    def _container(self, spec: model.SnapshotSpec) -> dict[str, Any] | None:
        return ownership.container(self._lxd, spec, spec.project, spec.container)

    def _find(self, spec: model.SnapshotSpec) -> dict[str, Any] | None:
        return daemon.find(self._lxd, _path(spec), project=spec.project)

    def _note(self, spec: model.SnapshotSpec, owner: str) -> None:
        body = {"config": {MARK + spec.name: owner}}
        self._lxd.change("PATCH", f"instances/{spec.container}", body, project=spec.project)


def _path(spec: model.SnapshotSpec) -> str:
    return f"instances/{spec.container}/snapshots/{spec.name}"
