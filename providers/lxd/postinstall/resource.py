"""Pulumi's provider and resource for a post-installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.host import Host
from providers import base
from providers.lxd.postinstall import model

if TYPE_CHECKING:
    import pulumi


class PostInstallProvider(base.Provider[model.PostInstallSpec]):
    """Provider of post-installations."""

    spec = model.PostInstallSpec

    def driver(self, host: Host) -> base.Driver[model.PostInstallSpec]:
        """Return the driver for a host."""
        from providers.lxd import client  # noqa: PLC0415
        from providers.lxd.postinstall import driver, withdrawal  # noqa: PLC0415

        return driver.PostInstallDriver(client.on(host), host.url, withdrawn=withdrawal.on(host))


class PostInstall(base.Resource, module="lxd", name="PostInstall"):
    """A post-installation; its inputs are those of `PostInstallSpec`.

    Attributes:
        user: The server's administrator: the login, or `admin` in versions without others.
    """

    provider = PostInstallProvider
    outputs = (base.MACHINE, "user")
    user: pulumi.Output[str]
