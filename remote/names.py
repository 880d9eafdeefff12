"""Names that code on a host shares with what renders it. Standard library alone."""

from __future__ import annotations

# The user of a tunnel, on the lab host and on the relay, and its folder on the lab host.
TUNNEL_USER = "grappe-tunnel"
TUNNEL_HOME = "/var/lib/grappe-tunnel"
# Scripts that UFW runs at each start, before and after all its rules.
UFW_SCRIPTS = ("/etc/ufw/before.init", "/etc/ufw/after.init")
# What a host may be unable to do: `remote.surveys.abilities`.
GPU, SHIFT = "GPU", "shift"
