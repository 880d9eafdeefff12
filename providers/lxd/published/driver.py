"""Publish a container: copy, generalise, publish, and move the alias last."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from core import errors, names
from providers import base
from providers.lxd import daemon, delete_protection, files, ownership, script_run
from providers.lxd.image import aliases
from providers.lxd.published import model
from remote import identity

PUBLISH_SECONDS = 900.0
STOP_SECONDS = 30
CONTAINER_PROPERTY = "grappe.container"


class PublishedDriver:
    """Published images of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.PublishedSpec) -> base.Outputs:
        """Publish the container as it is now, unless its image exists already."""
        if spec.adopt:
            self._adopt(spec)
        aliases.demand(self._lxd, spec)
        if published := self._published(spec):
            aliases.point(self._lxd, spec, published["fingerprint"], "published")
            aliases.set_properties(self._lxd, published["fingerprint"], aliases.marks(spec))
            return published
        if (stranger := self._copy_of(spec)) and not _is_template(stranger):
            raise errors.NotOursError(
                f"{spec.project}/{spec.copy} is a server, and was left alone",
                seen=f"publishing {spec.container} makes a copy of that name",
                do=f"rename it; if it is of no use: {self._lxd.program} delete --force {spec.copy} "
                f"--project {spec.project}",
            )
        self._remove_copy(spec)
        self._copy_stopped(spec)
        try:
            self._generalise(spec)
            fingerprint = self._publish(spec)
            marks = {"config": {aliases.PUBLISHED: fingerprint}}
            self._lxd.change("PATCH", f"instances/{spec.copy}", marks, project=spec.project)
        except BaseException:
            self._remove_copy(spec)
            raise
        aliases.point(self._lxd, spec, fingerprint, "published")
        aliases.sweep(self._lxd, spec, fingerprint)
        return {"fingerprint": fingerprint}

    def _published(self, spec: model.PublishedSpec) -> base.Outputs | None:
        """Return the image of an earlier run that was interrupted or lost its state."""
        image = aliases.pointed(self._lxd, spec.name)
        wanted = {**_made_from(spec), **spec.properties}
        ours = identity.belongs(aliases.held(image), spec.owner, spec.lab)
        if image is None or not ours or not wanted.items() <= image["properties"].items():
            return None
        return {"fingerprint": image["fingerprint"]}

    def _adopt(self, spec: model.PublishedSpec) -> None:
        """Mark an image without an owner as published from this container."""
        image = aliases.pointed(self._lxd, spec.name)
        if image and aliases.OWNER_PROPERTY not in image["properties"]:
            marks = {**spec.properties, **_marks(spec)}
            aliases.set_properties(self._lxd, image["fingerprint"], marks)

    def _copy_stopped(self, spec: model.PublishedSpec) -> None:
        """Copy the container while it is stopped."""
        try:
            container = self._lxd.get(f"instances/{spec.container}", project=spec.project)
        except daemon.AbsentError as error:
            raise errors.BadInputError(
                f"there is no container {spec.project}/{spec.container} to publish",
                do="run it again: it recreates the container",
            ) from error
        runs = container["status"] != "Stopped"
        if runs:
            self._set_state(spec, {"action": "stop", "timeout": STOP_SECONDS})
        try:
            self._copy(spec)
        finally:
            if runs and spec.running == "restart":
                self._set_state(spec, {"action": "start"})
        if runs and spec.running == "restart":
            script_run.wait_for_boot(self._lxd, spec.project, spec.container, 60)

    def _set_state(self, spec: model.PublishedSpec, body: dict[str, object]) -> None:
        path = f"instances/{spec.container}/state"
        self._lxd.change("PUT", path, body, project=spec.project, timeout=STOP_SECONDS + 30)

    def read(self, spec: model.PublishedSpec) -> base.Reading[model.PublishedSpec] | None:
        """Read the image that the alias points to."""
        image = aliases.pointed(self._lxd, spec.name)
        if image is None:
            return None
        properties = {key: image["properties"].get(key, "") for key in spec.properties}
        made_from = image["properties"].get(CONTAINER_PROPERTY, "") if spec.container_id else ""
        outputs = {"fingerprint": image["fingerprint"]}
        ours = identity.belongs(aliases.held(image), spec.owner, spec.lab)
        drift = "" if ours else "the alias points to somebody else's image"
        actual = dataclasses.replace(
            aliases.marked(self._lxd, spec), properties=properties, container_id=made_from
        )
        return base.Reading(actual, outputs, drift)

    def update(self, old: model.PublishedSpec, new: model.PublishedSpec) -> base.Outputs:
        """Publish again, move the alias, then remove the old image."""
        before = aliases.target(self._lxd, old.name)
        outputs = self.create(new)
        if before and before != outputs["fingerprint"]:
            aliases.remove_image(self._lxd, before, new)
        return outputs

    def delete(self, spec: model.PublishedSpec) -> None:
        """Remove the alias and the image, and a copy that an interrupted run left."""
        self._remove_copy(spec)
        target = aliases.target(self._lxd, spec.name)
        if target:
            aliases.demand(self._lxd, spec)
            self._lxd.change("DELETE", f"images/aliases/{spec.name}")
            aliases.remove_image(self._lxd, target, spec)
        aliases.sweep(self._lxd, spec, "")

    def _copy(self, spec: model.PublishedSpec) -> None:
        source = {
            "type": "copy", "source": spec.container, "project": spec.project,
            "instance_only": True,
        }  # fmt: skip
        original = self._lxd.get(f"instances/{spec.container}", project=spec.project)
        # The copy never starts, and must not hold the original's address.
        devices = {
            name: device for name, device in original["devices"].items() if device["type"] != "nic"
        }
        devices["eth0"] = {"type": "none"}
        body = {
            "name": spec.copy,
            "source": source,
            "devices": devices,
            "profiles": original["profiles"],
            "config": {**ownership.marks(spec), names.STAGE: names.CREATING},
        }
        self._lxd.change(
            "POST", "instances", body, project=spec.project, timeout=daemon.COPY_SECONDS
        )

    def _generalise(self, spec: model.PublishedSpec) -> None:
        """Remove from the copy what no two servers may share."""
        if self._is_installed(spec):
            raise errors.BadInputError(
                f"the container {spec.project}/{spec.container} is post-installed, and was not "
                "published",
                seen=f"it has {names.INSTALLED}: every server from it would have its domain, its "
                "administrator and that password",
                do="publish one that is not; servers of the earlier image need it no longer: "
                "remove `publish` from the stack file",
            )
        for folder, beginning in model.GENERALISED.items():
            for name in self._list(spec, folder):
                if name.startswith(beginning):
                    with contextlib.suppress(daemon.AbsentError):
                        self._lxd.remove_file(
                            f"instances/{spec.copy}/files", project=spec.project,
                            file=f"{folder}/{name}",
                        )  # fmt: skip
        for path in model.EMPTIED:
            self._write(spec, path, b"", {"X-LXD-type": "file", "X-LXD-write": "overwrite"})
        for path, (content, mode) in model.WRITTEN.items():
            self._make_folder(spec, path.rpartition("/")[0])
            headers = {"X-LXD-type": "file", "X-LXD-mode": mode, "X-LXD-write": "overwrite"}
            self._write(spec, path, content.encode(), headers)
        for path, target in model.LINKED.items():
            self._write(spec, path, target.encode(), {"X-LXD-type": "symlink"})

    def _make_folder(self, spec: model.PublishedSpec, folder: str) -> None:
        """Make a folder; LXD accepts one that exists."""
        with contextlib.suppress(errors.DaemonError):
            self._write(spec, folder, b"", {"X-LXD-type": "directory", "X-LXD-mode": "0755"})

    def _publish(self, spec: model.PublishedSpec) -> str:
        body = {
            "source": {"type": "instance", "name": spec.copy},
            # The copy stays as template: LXD maps the owner of every file at the first start of
            # each instance from an image, but not of a copy of this instance.
            "properties": {
                **spec.properties,
                **_marks(spec),
                aliases.TEMPLATE_PROPERTY: f"{spec.project}/{spec.copy}",
                aliases.ALIAS_PROPERTY: spec.name,
            },
            # gzip would take minutes, for an image that never leaves the host.
            "compression_algorithm": "none",
        }
        done = self._lxd.change(
            "POST", "images", body, project=spec.project, timeout=PUBLISH_SECONDS
        )
        return str(done["fingerprint"])

    def _copy_of(self, spec: model.PublishedSpec) -> dict[str, Any] | None:
        return ownership.container(self._lxd, spec, spec.project, spec.copy)

    def _remove_copy(self, spec: model.PublishedSpec) -> None:
        found = self._copy_of(spec)
        if found and _is_template(found):
            path = f"instances/{spec.copy}"
            delete_protection.lift(self._lxd, found, path, spec.project)
            self._lxd.change("DELETE", path, project=spec.project)

    def _is_installed(self, spec: model.PublishedSpec) -> bool:
        return files.read(self._lxd, spec.project, spec.copy, names.INSTALLED) is not None

    def _list(self, spec: model.PublishedSpec, folder: str) -> list[str]:
        listing = files.read(self._lxd, spec.project, spec.copy, folder)
        try:
            return [str(name) for name in json.loads(listing or b"")["metadata"]]
        except ValueError:
            return []

    def _write(
        self, spec: model.PublishedSpec, path: str, content: bytes, headers: dict[str, str]
    ) -> None:
        self._lxd.write_file(
            f"instances/{spec.copy}/files",
            content,
            headers={"X-LXD-uid": "0", "X-LXD-gid": "0", **headers},
            project=spec.project,
            file=path,
        )


def _is_template(instance: Mapping[str, Any]) -> bool:
    """Whether it is a generalised copy, which never becomes ready; a server has somebody's work."""
    return instance["config"].get(names.STAGE) in {None, names.CREATING}


def _marks(spec: model.PublishedSpec) -> dict[str, str]:
    return {**aliases.marks(spec), **_made_from(spec)}


def _made_from(spec: model.PublishedSpec) -> dict[str, str]:
    return {CONTAINER_PROPERTY: spec.container_id} if spec.container_id else {}
