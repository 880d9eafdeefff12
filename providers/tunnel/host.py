"""Call the lab host's side of tunnels, which works in one process over there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import errors
from hosts.host import Host

# Seconds until a tunnel must be up, on a relay that may still hold an old one's ports.
UP_SECONDS = 40


class TunnelHost:
    """The tunnel operations of a lab host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        """Run one of the operations of `remote.tunnels` there.

        Raises:
            errors.GrappeError: The operation failed; says why, and the remedy.
        """
        answer = self._host.call(
            "remote.tunnels", {"operation": operation, **request},
            timeout=UP_SECONDS + 60,
        )  # fmt: skip
        return read(self._host.url, answer)


def read(url: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result in an answer of `remote.tunnels`; raise its error."""
    if answer["ok"]:
        return dict(answer["result"])
    kind = errors.NotOursError if answer.get("not_ours") else errors.DaemonError
    raise kind(f"{url}: {answer['brief']}", seen=answer["seen"], do=answer["do"])
