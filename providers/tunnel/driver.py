"""Start and stop tunnels, and check that they carry traffic."""

from __future__ import annotations

from core import codec
from providers import base
from providers.tunnel import host as hosts
from providers.tunnel import model


class TunnelDriver(base.Driver[model.TunnelSpec]):
    """Tunnels of one lab host."""

    def __init__(self, tunnels: hosts.TunnelHost) -> None:
        self._tunnels = tunnels

    def create(self, spec: model.TunnelSpec) -> base.Outputs:
        """Start or restart the tunnel; return when something answers through it."""
        self._tunnels.call("raise_tunnel", **model.request(spec), seconds=spec.seconds)
        return {}

    def read(self, spec: model.TunnelSpec) -> base.Reading[model.TunnelSpec] | None:
        """Read the tunnel; a running unit that carries nothing is drift."""
        facts = self._tunnels.call("read_tunnel", **model.request(spec))
        if not facts["there"]:
            return None
        return base.Reading(codec.marked(spec, facts), drift=facts["drift"])

    def delete(self, spec: model.TunnelSpec) -> None:
        """Stop and remove the tunnel."""
        self._tunnels.call("lower_tunnel", name=spec.name, whose=codec.marks(spec))
