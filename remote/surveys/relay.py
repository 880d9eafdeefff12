"""Survey a relay for a preflight: its ports and its host key. Runs there, read only."""

from __future__ import annotations

from typing import Any, Dict

from remote import haproxy_unit
from remote.names import TUNNEL_USER
from remote.surveys import facts, fragments, listening, programs
from remote.system import read_text
from remote.targets import relay

UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
# The first that exists is pinned.
HOST_KEYS = ("ed25519", "ecdsa")

Json = Dict[str, Any]


def main(request: Json) -> facts.RelayFacts:
    """Survey the relay.

    Args:
        request: `store`, Grappe's folder.
    """
    unit = haproxy_unit.parse(programs.run(haproxy_unit.SHOW)[1], read_text)
    keys = [read_text("/etc/ssh/ssh_host_%s_key.pub" % kind) for kind in HOST_KEYS]
    return {
        "fragments": fragments.main(request["store"]),
        "listening": listening.main(unit),
        "unprivileged": int(read_text(UNPRIVILEGED) or 1024),
        "host_key": " ".join("".join(keys).split()[:2]),
        "shut_out": relay.shut_out(
            programs.run(relay.SETTINGS)[1].lower().splitlines(), TUNNEL_USER
        ),
    }
