"""Pulumi's provider and resource for an image from outside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core import problems
from hosts.host import Host
from providers import base
from providers.lxd.image import model

if TYPE_CHECKING:
    import pulumi


class ImageProvider(base.Provider[model.ImageSpec]):
    """Provider of images from outside."""

    spec = model.ImageSpec

    def driver(self, host: Host) -> base.Driver[model.ImageSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.image import driver  # noqa: PLC0415

        return driver.ImageDriver(client.on(host))

    def examine(
        self, spec: model.ImageSpec, _was: Mapping[str, Any]
    ) -> tuple[model.ImageSpec, list[problems.Mistake]]:
        """Fill in the digest, so that another source means another image."""
        return dataclasses.replace(spec, digest=model.digest(spec)), []


class Image(base.Resource, module="lxd", name="Image"):
    """An image from outside; its inputs are those of `ImageSpec`.

    Attributes:
        fingerprint: The fingerprint of the image.
    """

    provider = ImageProvider
    outputs = (base.MACHINE, "fingerprint")
    fingerprint: pulumi.Output[str]
