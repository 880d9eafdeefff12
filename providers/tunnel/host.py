"""Asking the lab host's side of tunnels; the work is done over there, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from core import errors
from hosts.host import Host

# A tunnel may take as long as this to stand, on a relay that still holds the ports of an old one.
STAND_SECONDS = 40


class TunnelHost(Protocol):
    """The lab host, as far as tunnels go."""

    def ask(self, operation: str, **request: Any) -> Mapping[str, Any]:
        """Do one of `link`'s operations there.

        Raises:
            errors.GrappeError: It cannot be; says what was seen, and what to do.

        """


class RealTunnelHost:
    """A real lab host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def ask(self, operation: str, **request: Any) -> Mapping[str, Any]:
        """Send a request, and read what became of it."""
        answer = self._host.call(
            "remote.tunnels", {"operation": operation, **request},
            timeout=STAND_SECONDS + 60,
        )  # fmt: skip
        return read(self._host.url, answer)


def on(host: Host) -> TunnelHost:
    """Return a host as tunnels see it."""
    return RealTunnelHost(host)


def read(where: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer of `link.main`; raise what it says went wrong."""
    if answer["ok"]:
        return dict(answer["result"])
    kind = errors.NotOursError if answer.get("not_ours") else errors.DaemonError
    raise kind(f"{where}: {answer['brief']}", seen=answer["seen"], do=answer["do"])
