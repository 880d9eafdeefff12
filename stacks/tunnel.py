"""The spec of a student's tunnel from the internet, and mistakes in its settings; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from core import validators
from hosts import url
from stacks import settings

# The default ports of a relay, and their targets.
FORWARDS = (
    settings.ForwardSettings(listen=8080, port=80),
    settings.ForwardSettings(listen=8443, port=443),
)


def resolve(given: settings.TunnelSettings) -> settings.TunnelSettings | None:
    """Return the tunnel with its forwards, those of the stack file or the default; None without."""
    if not given.relay:
        return None
    return dataclasses.replace(given, forwards=given.forwards or FORWARDS)


def problems(
    given: settings.TunnelSettings, servers: Sequence[str]
) -> Iterator[tuple[str, Any, str]]:
    """Yield a tunnel's problems: the key, the value, the problem."""
    if not given.relay:
        if given.forwards:
            yield (
                "tunnel.relay",
                "",
                "is missing. Name the relay on which the forwards listen: ssh://[user@]relay.",
            )
        return
    problem = url.problem(given.relay)
    if not problem and url.parse(given.relay).scheme != "ssh":
        problem = "is not reached by SSH: ssh://[user@]relay."
    yield "tunnel.relay", url.without_password(given.relay), problem
    listens = [forward.listen for forward in given.forwards]
    for index, forward in enumerate(given.forwards):
        prefix = f"tunnel.forwards[{index}]"
        yield f"{prefix}.listen", forward.listen, validators.problem_of_port(forward.listen)
        yield f"{prefix}.port", forward.port, validators.problem_of_port(forward.port)
        if listens.index(forward.listen) != index:
            yield f"{prefix}.listen", forward.listen, "is another forward's already."
        if forward.server and forward.server not in servers:
            names = ", ".join(servers)
            yield f"{prefix}.server", forward.server, f"is not one of the servers: {names}."
