"""Pulumi's provider and resource for a tunnel's key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.host import Host
from providers import base
from providers.tunnel.key import model

if TYPE_CHECKING:
    import pulumi


class KeyProvider(base.Provider[model.KeySpec]):
    """Provider of tunnels' keys."""

    spec = model.KeySpec

    def driver(self, host: Host) -> base.Driver[model.KeySpec]:
        """Return the driver for a host."""
        from providers.tunnel import host as hosts  # noqa: PLC0415
        from providers.tunnel.key import driver  # noqa: PLC0415

        return driver.KeyDriver(hosts.TunnelHost(host))


class Key(base.Resource, module="tunnel", name="Key"):
    """A tunnel's key; its inputs are those of `KeySpec`.

    Attributes:
        public_key: Its public part, type and key.
    """

    provider = KeyProvider
    outputs = (base.MACHINE, "public_key")
    public_key: pulumi.Output[str]
