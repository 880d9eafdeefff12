"""Pulumi's provider and resource for a volume."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.lxd.volume import model


class VolumeProvider(base.Provider[model.VolumeSpec]):
    """Provider of volumes."""

    spec = model.VolumeSpec

    def driver(self, host: Host) -> base.Driver[model.VolumeSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.volume import driver  # noqa: PLC0415

        return driver.VolumeDriver(client.on(host))


class Volume(base.Resource, module="lxd", name="Volume"):
    """A storage volume; its inputs are those of `VolumeSpec`."""

    provider = VolumeProvider
