"""Publishing a container: copy, generalise, publish, and move the alias last."""

from __future__ import annotations

import contextlib
import dataclasses
import json

from providers import base, errors
from providers.lxd import daemon, ownership
from providers.lxd.image import aliases
from providers.lxd.published import model

PUBLISH_SECONDS = 900.0


class PublishedDriver:
    """Published images of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.PublishedSpec) -> base.Outputs:
        """Publish the container as it is now."""
        aliases.demand(self._lxd, spec.name, spec.owner)
        self._remove_copy(spec)
        self._copy(spec)
        try:
            self._generalise(spec)
            fingerprint = self._publish(spec)
        finally:
            self._remove_copy(spec)
        description = f"published by Grappe for {spec.owner}"
        aliases.point(self._lxd, spec.name, fingerprint, description)
        return {"fingerprint": fingerprint}

    def read(self, spec: model.PublishedSpec) -> base.Reading[model.PublishedSpec] | None:
        """Return the image that the alias points to."""
        target = aliases.target(self._lxd, spec.name)
        found = aliases.image(self._lxd, target) if target else None
        if found is None:
            return None
        properties = {key: found["properties"].get(key, "") for key in spec.properties}
        outputs = {"fingerprint": found["fingerprint"]}
        ours = found["properties"].get(aliases.OWNER_PROPERTY) == spec.owner
        drift = "" if ours else "the alias points to somebody else's image"
        return base.Reading(dataclasses.replace(spec, properties=properties), outputs, drift)

    def update(self, old: model.PublishedSpec, new: model.PublishedSpec) -> base.Outputs:
        """Publish anew; the old image goes when the alias has moved."""
        before = aliases.target(self._lxd, old.name)
        outputs = self.create(new)
        if before and before != outputs["fingerprint"]:
            aliases.remove_image(self._lxd, before, old.owner)
        return outputs

    def delete(self, spec: model.PublishedSpec) -> None:
        """Remove the alias and the image, and a copy that an interrupted run left."""
        self._remove_copy(spec)
        target = aliases.target(self._lxd, spec.name)
        if target:
            aliases.demand(self._lxd, spec.name, spec.owner)
            self._lxd.change("DELETE", f"images/aliases/{spec.name}")
            aliases.remove_image(self._lxd, target, spec.owner)

    def _copy(self, spec: model.PublishedSpec) -> None:
        source = {
            "type": "copy", "source": spec.container, "project": spec.project,
            "instance_only": True,
        }  # fmt: skip
        try:
            original = self._lxd.get(f"instances/{spec.container}", project=spec.project)
        except daemon.AbsentError as error:
            raise errors.BadInputError(
                f"there is no container {spec.container} in the project {spec.project} to publish"
            ) from error
        # The copy never starts, and must not hold the original's address meanwhile.
        devices = {
            name: device for name, device in original["devices"].items() if device["type"] != "nic"
        }
        devices["eth0"] = {"type": "none"}
        body = {
            "name": spec.copy,
            "source": source,
            "devices": devices,
            "profiles": original["profiles"],
            "config": {daemon.OWNER: spec.owner, daemon.STAGE: "creating"},
        }
        self._lxd.change("POST", "instances", body, project=spec.project)

    def _generalise(self, spec: model.PublishedSpec) -> None:
        """Take out of the copy what must not be the same in two servers."""
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
        self._write(
            spec, model.FIRST_BOOT_PATH, model.FIRST_BOOT.encode(),
            {"X-LXD-type": "file", "X-LXD-mode": "0644"},
        )  # fmt: skip
        self._write(
            spec, model.FIRST_BOOT_LINK, model.FIRST_BOOT_PATH.encode(), {"X-LXD-type": "symlink"}
        )

    def _publish(self, spec: model.PublishedSpec) -> str:
        body = {
            "source": {"type": "instance", "name": spec.copy},
            "properties": {**spec.properties, aliases.OWNER_PROPERTY: spec.owner},
            # Minutes of gzip for an image that never leaves the host.
            "compression_algorithm": "none",
        }
        done = self._lxd.change(
            "POST", "images", body, project=spec.project, timeout=PUBLISH_SECONDS
        )
        return str(done["fingerprint"])

    def _remove_copy(self, spec: model.PublishedSpec) -> None:
        try:
            found = self._lxd.get(f"instances/{spec.copy}", project=spec.project)
        except daemon.AbsentError:
            return
        ownership.demand(found, spec.owner, f"the container {spec.copy}")
        self._lxd.change("DELETE", f"instances/{spec.copy}", project=spec.project)

    def _list(self, spec: model.PublishedSpec, folder: str) -> list[str]:
        try:
            listing = self._lxd.read_file(
                f"instances/{spec.copy}/files", project=spec.project, file=folder
            )
            return [str(name) for name in json.loads(listing)["metadata"]]
        except (daemon.AbsentError, ValueError):
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
