"""A student's tunnel from the internet: a key, a grant on the relay, and the tunnel itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from providers.preflight.resource import Preflight
from providers.relay.model import RelayGrantSpec
from providers.relay.resource import RelayGrant
from providers.tunnel import model
from providers.tunnel import resource as tunnels
from providers.tunnel.key.model import KeySpec
from providers.tunnel.key.resource import Key
from stacks.spec import LabSpec


class Tunnel(pulumi.ComponentResource):
    """A reverse SSH tunnel; the relay then serves the lab host's routes too."""

    def __init__(
        self,
        lab: LabSpec,
        preflight: Preflight,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        name = f"{lab.student}-tunnel"
        super().__init__("grappe:index:Tunnel", name, {}, opts)
        if lab.tunnel is None:
            return
        common: dict[str, Any] = {"owner": lab.owner, "lab": lab.id, "name": lab.student}
        key = Key(
            f"{name}-key",
            KeySpec(**common, host=lab.host),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[preflight]),
        )
        grant = RelayGrant(
            f"{name}-door",
            RelayGrantSpec(
                **common,
                host=lab.tunnel.relay,
                public_key="",
                listens=tuple(forward.listen for forward in lab.tunnel.forwards),
            ),
            public_key=key.public_key,
            opts=pulumi.ResourceOptions(parent=self),
        )
        servers = {server.name: server for server in lab.servers}
        domain = lab.servers[0].domain
        forwards = [
            {
                "listen": forward.listen,
                "port": forward.port,
                # By default HAProxy routes by domain; a named server gets the traffic directly.
                "address": servers[forward.server].address if forward.server else preflight.address,
                "domain": servers[forward.server].domain if forward.server else domain,
            }
            for forward in lab.tunnel.forwards
        ]
        tunnels.Tunnel(
            name,
            model.TunnelSpec(**common, host=lab.host, relay_address="", relay_key="", forwards=()),
            forwards=forwards,
            relay_address=preflight.relay_address,
            relay_port=preflight.relay_port,
            relay_key=preflight.relay_key,
            public_key=key.public_key,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[grant, *after]),
        )
        self.register_outputs({})
