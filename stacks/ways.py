"""The ways to a server: ssh by a port of its own, http and https by its domain."""

from __future__ import annotations

from providers.probe.model import Check

SSH, HTTP, HTTPS = "ssh", "http", "https"
# The ports at which a server listens; people dial http and https at the same ones of the lab host.
PORTS = {SSH: 22, HTTP: 80, HTTPS: 443}


def checks(port: int, domain: str) -> tuple[Check, ...]:
    """Return a check of each way.

    Args:
        port: The lab host's port that leads to the server's ssh.
        domain: The server's domain.
    """
    return (
        Check(kind=SSH, port=port),
        Check(kind=HTTP, port=PORTS[HTTP], domain=domain, led=True),
        Check(kind=HTTPS, port=PORTS[HTTPS], domain=domain),
    )
