"""Sending an image to LXD, and its alias."""

from __future__ import annotations

import dataclasses
from typing import Any

from providers import base, errors
from providers.lxd import daemon
from providers.lxd.image import aliases, model


class ImageDriver:
    """Images of one daemon."""

    def __init__(self, lxd: daemon.Daemon) -> None:
        self._lxd = lxd

    def create(self, spec: model.ImageSpec) -> base.Outputs:
        """Send the files unless the image is there, then point the alias at it."""
        aliases.demand(self._lxd, spec.name, spec.owner)
        if aliases.image(self._lxd, spec.fingerprint) is None:
            properties = {**spec.properties, aliases.OWNER_PROPERTY: spec.owner}
            sent = self._lxd.upload_image(spec.metadata, spec.rootfs, properties=properties)
            if sent != spec.fingerprint:
                raise errors.DaemonError(
                    f"the image {spec.name} changed while it was sent", seen=f"{sent[:12]} arrived"
                )
        aliases.point(self._lxd, spec.name, spec.fingerprint, _description(spec))
        return {}

    def read(self, spec: model.ImageSpec) -> base.Reading[model.ImageSpec] | None:
        """Return the image that the alias points to."""
        target = aliases.target(self._lxd, spec.name)
        found = aliases.image(self._lxd, target) if target else None
        if found is None:
            return None
        properties = _visible(found["properties"])
        return base.Reading(
            dataclasses.replace(spec, fingerprint=found["fingerprint"], properties=properties)
        )

    def update(self, old: model.ImageSpec, new: model.ImageSpec) -> base.Outputs:
        """Send the new image; the alias moves when it is there, then the old one goes."""
        self.create(new)
        properties = {**new.properties, aliases.OWNER_PROPERTY: new.owner}
        aliases.set_properties(self._lxd, new.fingerprint, properties)
        if old.fingerprint != new.fingerprint:
            aliases.remove_image(self._lxd, old.fingerprint, old.owner)
        return {}

    def delete(self, spec: model.ImageSpec) -> None:
        """Remove the alias and the image, when they are ours."""
        target = aliases.target(self._lxd, spec.name)
        if target == spec.fingerprint:
            aliases.demand(self._lxd, spec.name, spec.owner)
            self._lxd.change("DELETE", f"images/aliases/{spec.name}")
        aliases.remove_image(self._lxd, spec.fingerprint, spec.owner)


def _visible(properties: dict[str, Any]) -> dict[str, str]:
    # What the metadata file says of itself is not the user's setting.
    hidden = ("os", "release", "description", "architecture", "serial", "variant", "name")
    return {
        key: value
        for key, value in sorted(properties.items())
        if not key.startswith("grappe.") and key not in hidden
    }


def _description(spec: model.ImageSpec) -> str:
    return f"made by Grappe for {spec.owner}"
