"""Having the survey run on a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from core import problems
from hosts.host import Host
from providers.lxd import daemon

# Seconds before a second look, and a third.
PAUSES = (0.4, 1.2)


def lasting(
    look: Callable[[], dict[str, Any]], judge: Callable[[dict[str, Any]], list[problems.Mistake]]
) -> tuple[dict[str, Any], list[problems.Mistake]]:
    """Look and judge; return what was seen last and the mistakes that every look found.

    A look may fall into the middle of somebody else's change: what is only passing is no mistake.
    """
    facts = look()
    mistakes = judge(facts)
    for pause in PAUSES:
        if not mistakes:
            break
        time.sleep(pause)
        facts = look()
        again = judge(facts)
        mistakes = [mistake for mistake in mistakes if mistake in again]
    return facts, mistakes


def at(host: Host, urls: Sequence[str] = (), projects: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `survey.main` found on a host.

    Args:
        host: The host.
        urls: What it is to reach.
        projects: LXD projects whose instances are looked at.

    """
    request = {
        "sockets": daemon.SOCKETS, "store": host.store, "urls": list(urls),
        "projects": list(projects),
    }  # fmt: skip
    return dict(host.call("remote.surveys.lab", request))
