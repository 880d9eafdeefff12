"""Pulumi's provider and resource for a snapshot."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.lxd.snapshot import model


class SnapshotProvider(base.Provider[model.SnapshotSpec]):
    """Provider of snapshots."""

    spec = model.SnapshotSpec
    HOLDS_WORK = True

    def driver(self, host: Host) -> base.Driver[model.SnapshotSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.snapshot import driver  # noqa: PLC0415

        return driver.SnapshotDriver(client.on(host))


class Snapshot(base.Resource, module="lxd", name="Snapshot"):
    """A snapshot of a container; its inputs are those of `SnapshotSpec`."""

    provider = SnapshotProvider
    outputs = (base.MACHINE, "taken")
