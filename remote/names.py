"""Names that code on a host shares with what renders it. Standard library alone."""

from __future__ import annotations

import ipaddress
import re

# The user of a tunnel, on the lab host and on the relay, and its folder on the lab host.
TUNNEL_USER = "grappe-tunnel"
TUNNEL_HOME = "/var/lib/grappe-tunnel"
# Scripts that UFW runs at each start, before and after all its rules.
UFW_SCRIPTS = ("/etc/ufw/before.init", "/etc/ufw/after.init")
# The network of all students' bridges.
STUDENTS = ipaddress.IPv4Network("10.64.0.0/12")
# Bridges of containers and virtual machines. Docker calls its own br- and twelve digits; a person's
# br-lan may be the host's way out.
INNER_BRIDGES = re.compile(r"docker|br-[0-9a-f]{12}$|virbr|lxd|incus|podman|cni|cali")
# What a host may be unable to do: `remote.surveys.abilities`.
GPU, SHIFT = "GPU", "shift"
