"""Derive ports and addresses from a student's number and a server's index; a test freezes them."""

from __future__ import annotations

MAX_SERVERS = 10
FIRST_SSH_PORT = 22222
MAX_BUILDERS = 250
FIRST_RELAY_PORT = 10000


def ssh_port(number: int, index: int) -> int:
    """Return the port of the lab host that leads to a server's sshd."""
    return FIRST_SSH_PORT + 10 * (number - 1) + index


def relay_port(number: int) -> int:
    """Return the first of the two ports of a relay that a student of a class has."""
    return FIRST_RELAY_PORT + 2 * (number - 1)


def bridge(number: int) -> str:
    """Return the name of the student's bridge."""
    return f"gr-{number}"


def gateway(number: int) -> str:
    """Return the bridge's own address."""
    return f"{_network(number)}.1"


def address(number: int, index: int) -> str:
    """Return a server's address."""
    return f"{_network(number)}.{10 + index}"


def subnet(number: int) -> str:
    """Return the student's network."""
    return f"{_network(number)}.0/24"


def builder_bridge(number: int) -> str:
    """Return the name of a golden image's builder's bridge."""
    return f"gr-i{number}"


def builder_network(number: int) -> str:
    """Return the first three numbers of the addresses on the builder's bridge."""
    return f"10.80.{number}"


def project(student: str) -> str:
    """Return the name of the student's LXD project."""
    return f"grappe-{student}"


def domain(server: str, student: str, parent: str) -> str:
    """Return a server's domain."""
    return f"{server}.{student}.{parent}".lower()


def _network(number: int) -> str:
    return f"10.{64 + number // 256}.{number % 256}"
