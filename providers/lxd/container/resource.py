"""Pulumi's provider and resource for a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core import codec
from hosts import connections
from hosts.host import Host
from providers import base
from providers.lxd.container import model

if TYPE_CHECKING:
    import pulumi

    from providers.lxd.container import driver as drivers


class ContainerProvider(base.Provider[model.ContainerSpec]):
    """Provider of containers."""

    spec = model.ContainerSpec
    OUTPUTS = ("fingerprint", "container_id")
    HOLDS_WORK = True

    def driver(self, host: Host) -> drivers.ContainerDriver:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.container import driver, readiness  # noqa: PLC0415

        return driver.ContainerDriver(client.on(host), readiness.dial_from(host), host.url)

    def stable_outputs(self, spec: model.ContainerSpec, was: Mapping[str, Any]) -> base.Outputs:
        """Return the container's id unless it is replaced: the resources inside stay with it."""
        wished = codec.encode(spec)
        if any(was.get(field) != wished.get(field) for field in ("host", *spec.REPLACES)):
            return {}
        reading = self.driver(connections.connect(spec.host)).read_ahead(spec)
        return {} if reading is None or reading.remake else reading.outputs


class Container(base.Resource, module="lxd", name="Container"):
    """A container; its inputs are those of `ContainerSpec`.

    Attributes:
        fingerprint: The fingerprint of the image it was made from.
        container_id: An id that tells it from other containers of its name.
    """

    provider = ContainerProvider
    outputs = (base.MACHINE, "fingerprint", "container_id")
    fingerprint: pulumi.Output[str]
    container_id: pulumi.Output[str]
