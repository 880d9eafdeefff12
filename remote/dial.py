"""Dialling a TCP port from a host until it answers. Runs on the host: standard library alone."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import Any, Dict

ROUTES = "/proc/net/route"
# The prefix of our bridges' names.
BRIDGES = "gr-"
# The kernel's interval between two ARP requests for an address; the default is 1000 ms.
RETRANSMIT = "/proc/sys/net/ipv4/neigh/%s/retrans_time_ms"
RETRANSMIT_MS = "100"
# Seconds of one of several tries, and of a single try: the kernel resends a packet after 1 s.
SHORT, LONG = 0.2, 2.0


def main(request: Dict[str, Any]) -> str:
    """Dial until the port answers; return the last error, or nothing when it answered.

    Args:
        request: `address`, `port` and `seconds`.
    """
    deadline = time.monotonic() + request["seconds"]
    bridge = bridge_to(request["address"])
    if bridge:
        # A booting server misses the first ARP request, and is up long before a default second one.
        with contextlib.suppress(OSError), open(RETRANSMIT % bridge, "w") as setting:
            setting.write(RETRANSMIT_MS)
    target = (request["address"], request["port"])
    while True:
        try:
            with socket.create_connection(target, SHORT if request["seconds"] else LONG):
                return ""
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{request['address']}:{request['port']}: {error}"
        time.sleep(0.05)


def bridge_to(address: str) -> str:
    """Return our bridge that leads to an address; empty without one."""
    wanted = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    with contextlib.suppress(OSError), open(ROUTES) as lines:
        for line in lines:
            # Interface, destination, ..., mask, in hexadecimal.
            fields = line.split()
            if fields[0].startswith(BRIDGES) and wanted & int(fields[7], 16) == int(fields[1], 16):
                return fields[0]
    return ""
