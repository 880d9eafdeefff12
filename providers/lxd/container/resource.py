"""The container as Pulumi knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers import base
from providers.hosts import gateway
from providers.lxd.container import model

if TYPE_CHECKING:
    import pulumi


class ContainerProvider(base.Provider[model.ContainerSpec]):
    """Provider of containers."""

    spec = model.ContainerSpec

    def driver(self, host: gateway.Host) -> base.Driver[model.ContainerSpec]:
        """Return the driver for a host."""
        from providers.lxd import daemon  # noqa: PLC0415
        from providers.lxd.container import dial, driver  # noqa: PLC0415

        return driver.ContainerDriver(daemon.on(host), dial.from_host(host), host.url)


class Container(base.Resource, module="lxd", name="Container"):
    """A container; its inputs are those of `ContainerSpec`.

    Attributes:
        fingerprint: The fingerprint of the image it was made from.
        container_id: What tells it from another container of its name.
    """

    provider = ContainerProvider
    outputs = (base.MACHINE, "fingerprint", "container_id")
    fingerprint: pulumi.Output[str]
    container_id: pulumi.Output[str]
