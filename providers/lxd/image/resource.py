"""The image as Pulumi knows it."""

from __future__ import annotations

import dataclasses

from providers import base, wire
from providers.hosts import gateway
from providers.lxd.image import model


class ImageProvider(base.Provider[model.ImageSpec]):
    """Provider of images from files."""

    spec = model.ImageSpec

    def driver(self, host: gateway.Host) -> base.Driver[model.ImageSpec]:
        """Return the driver for a host."""
        from providers.lxd import daemon  # noqa: PLC0415
        from providers.lxd.image import driver  # noqa: PLC0415

        return driver.ImageDriver(daemon.on(host))

    def examine(self, spec: model.ImageSpec) -> tuple[model.ImageSpec, list[wire.Mistake]]:
        """Fill in the fingerprint, so that changed files are a changed image."""
        digest = model.fingerprint(spec.metadata, spec.rootfs)
        return dataclasses.replace(spec, fingerprint=digest), []


class Image(base.Resource, module="lxd", name="Image"):
    """An image from files; its inputs are those of `ImageSpec`."""

    provider = ImageProvider
