"""A student's tunnel from the internet: a key, a grant on the relay, and the tunnel itself."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from providers.preflight.resource import Preflight
from providers.relay.resource import RelayGrant
from providers.tunnel import resource as tunnels
from providers.tunnel.key.resource import Key
from stacks.plan import TunnelPlan


class Tunnel(pulumi.ComponentResource):
    """A reverse SSH tunnel; the relay then serves the lab host's routes too."""

    def __init__(
        self,
        name: str,
        plan: TunnelPlan,
        preflight: Preflight,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("grappe:index:Tunnel", name, {}, opts)
        first = pulumi.ResourceOptions(parent=self, depends_on=[preflight])
        key = Key(f"{name}-key", plan.key, opts=first)
        grant = RelayGrant(
            f"{name}-door", plan.grant, opts=pulumi.ResourceOptions(parent=self),
            public_key=key.public_key,
        )  # fmt: skip
        tunnels.Tunnel(
            name,
            plan.tunnel,
            forwards=[
                {**forward, "address": forward["address"] or preflight.address}
                for forward in plan.forwards
            ],
            relay_address=preflight.relay_address,
            relay_port=preflight.relay_port,
            relay_key=preflight.relay_key,
            public_key=key.public_key,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[grant, *after]),
        )
        self.register_outputs({})
