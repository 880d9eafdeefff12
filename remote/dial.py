"""Dialling a TCP port from a host until it answers. Runs on the host: standard library alone."""

from __future__ import annotations

import socket
import time
from typing import Any, Dict


def main(request: Dict[str, Any]) -> str:
    """Dial until the port answers; return the last error, or nothing when it answered."""
    deadline = time.monotonic() + request["seconds"]
    while True:
        try:
            with socket.create_connection((request["address"], request["port"]), timeout=2):
                return ""
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{request['address']}:{request['port']}: {error}"
        time.sleep(0.05)
