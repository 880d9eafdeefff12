"""Bring an image and its alias to LXD."""

from __future__ import annotations

import dataclasses

from core import errors
from providers import base
from providers.lxd import daemon
from providers.lxd.image import aliases, bootstrap, model
from remote import identity

FETCH_SECONDS = 1800.0
DIGEST_PROPERTY = "grappe.digest"


class ImageDriver:
    """Images of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.ImageSpec) -> base.Outputs:
        """Bring the image unless it exists, then point the alias at it."""
        aliases.demand(self._lxd, spec)
        current = aliases.pointed(self._lxd, spec.name)
        before = {str(listed["fingerprint"]) for listed in self._lxd.get("images", recursion="1")}
        if current and current["properties"].get(DIGEST_PROPERTY) == spec.digest:
            fingerprint = str(current["fingerprint"])
        else:
            fingerprint = self._fetch(spec) if spec.server else self._send(spec)
        aliases.point(self._lxd, spec, fingerprint, "made")
        held = aliases.held(aliases.image(self._lxd, fingerprint))
        ours = identity.belongs(held, spec.owner, spec.lab)
        if ours or (not held["owner"] and fingerprint not in before):
            aliases.set_properties(self._lxd, fingerprint, _properties(spec))
        elif not held["owner"]:
            # The image was there before us and stays when we leave: note only its digest.
            aliases.set_properties(self._lxd, fingerprint, {DIGEST_PROPERTY: spec.digest})
        return {"fingerprint": fingerprint}

    def read(self, spec: model.ImageSpec) -> base.Reading[model.ImageSpec] | None:
        """Read the image that the alias points to."""
        image = aliases.pointed(self._lxd, spec.name)
        if image is None:
            return None
        properties = image["properties"]
        actual = dataclasses.replace(
            aliases.marked(self._lxd, spec),
            digest=properties.get(DIGEST_PROPERTY, ""),
            properties={key: properties[key] for key in spec.properties if key in properties},
        )
        return base.Reading(actual, {"fingerprint": image["fingerprint"]})

    def update(self, old: model.ImageSpec, new: model.ImageSpec) -> base.Outputs:
        """Bring the new image, move the alias to it, then remove the old one."""
        before = aliases.target(self._lxd, old.name)
        outputs = self.create(new)
        if before and before != outputs["fingerprint"]:
            aliases.remove_image(self._lxd, before, new)
        return outputs

    def delete(self, spec: model.ImageSpec) -> None:
        """Remove the alias and the image if they are ours."""
        target = aliases.target(self._lxd, spec.name)
        if target:
            aliases.demand(self._lxd, spec)
            self._lxd.change("DELETE", f"images/aliases/{spec.name}")
            aliases.remove_image(self._lxd, target, spec)

    def _send(self, spec: model.ImageSpec) -> str:
        metadata, rootfs = spec.metadata, spec.rootfs
        if spec.suite:
            metadata, rootfs = bootstrap.files(spec)
        fingerprint = model.fingerprint(metadata, rootfs)
        if spec.metadata and fingerprint != spec.digest:
            raise errors.DaemonError(
                f"the files of the image {spec.name} changed after the plan read them",
                seen=f"fingerprint {fingerprint[:12]}, planned {spec.digest[:12]}",
                do="run it again once nothing writes to these files",
            )
        # LXD may have the same files already, under somebody else's alias.
        if aliases.image(self._lxd, fingerprint) is None:
            self._lxd.upload_image(metadata, rootfs, properties=_properties(spec))
        return fingerprint

    def _fetch(self, spec: model.ImageSpec) -> str:
        body = {
            "source": {
                "type": "image", "mode": "pull", "server": spec.server,
                "protocol": spec.protocol, "alias": spec.remote_alias,
            },
            "public": False, "auto_update": False,
        }  # fmt: skip
        try:
            done = self._lxd.change("POST", "images", body, timeout=FETCH_SECONDS)
        except errors.DaemonError as error:
            raise errors.DaemonError(
                f"the image {spec.remote_alias} did not come from {spec.server}",
                seen=error.seen or error.brief,
                do="check that the lab host reaches that address, and that it has that image",
            ) from error
        return str(done["fingerprint"])


def _properties(spec: model.ImageSpec) -> dict[str, str]:
    return {**spec.properties, **aliases.marks(spec), DIGEST_PROPERTY: spec.digest}
