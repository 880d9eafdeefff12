"""Dialling a TCP port from a host until it answers. Runs on the host: standard library alone."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.hosts import gateway


def main(request: dict[str, Any]) -> str:
    """Dial until the port answers; return what was seen last, or nothing when it answered."""
    deadline = time.monotonic() + request["seconds"]
    while True:
        try:
            with socket.create_connection((request["address"], request["port"]), timeout=2):
                return ""
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{request['address']}:{request['port']}: {error}"
        time.sleep(0.05)


def from_host(host: gateway.Host) -> Callable[[str, int, int], str]:
    """Return a function that dials from a host."""

    def dial(address: str, port: int, seconds: int) -> str:
        request = {"address": address, "port": port, "seconds": seconds}
        return str(host.call(__name__, request, timeout=seconds + 30))

    return dial
