"""Pulumi's provider and resource for a published image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.host import Host
from providers import base
from providers.lxd.published import model

if TYPE_CHECKING:
    import pulumi


class PublishedProvider(base.Provider[model.PublishedSpec]):
    """Provider of published images."""

    spec = model.PublishedSpec
    HOLDS_WORK = True

    def driver(self, host: Host) -> base.Driver[model.PublishedSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.published import driver  # noqa: PLC0415

        return driver.PublishedDriver(client.on(host))


class Published(base.Resource, module="lxd", name="PublishedImage"):
    """An image published from a container; its inputs are those of `PublishedSpec`.

    Attributes:
        fingerprint: The fingerprint of the image.
    """

    provider = PublishedProvider
    outputs = (base.MACHINE, "fingerprint")
    fingerprint: pulumi.Output[str]
