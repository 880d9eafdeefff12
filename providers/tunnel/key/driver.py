"""Make and remove tunnels' keys on the lab host."""

from __future__ import annotations

from core import codec
from providers import base
from providers.tunnel import host as hosts
from providers.tunnel.key import model


class KeyDriver(base.Driver[model.KeySpec]):
    """Keys of one lab host."""

    def __init__(self, tunnels: hosts.TunnelHost) -> None:
        self._tunnels = tunnels

    def create(self, spec: model.KeySpec) -> base.Outputs:
        """Make the pair, unless it exists."""
        made = self._tunnels.call("make_key", name=spec.name, whose=codec.marks(spec))
        return {"public_key": made["public_key"]}

    def read(self, spec: model.KeySpec) -> base.Reading[model.KeySpec] | None:
        """Read the pair."""
        facts = self._tunnels.call("read_key", name=spec.name, whose=codec.marks(spec))
        if not facts["public_key"]:
            return None
        return base.Reading(codec.marked(spec, facts), {"public_key": facts["public_key"]})

    def delete(self, spec: model.KeySpec) -> None:
        """Remove the pair, and the user with the last pair."""
        self._tunnels.call("remove_key", name=spec.name, whose=codec.marks(spec))
