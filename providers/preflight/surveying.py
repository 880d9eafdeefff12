"""Run the survey on a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from core import problems
from hosts.host import Host
from providers.lxd import client
from remote.surveys.facts import LabFacts

# Seconds before the second survey, and before the third.
PAUSES = (0.4, 1.2)


def lasting(
    survey: Callable[[], LabFacts], judge: Callable[[LabFacts], list[problems.Mistake]]
) -> tuple[LabFacts, list[problems.Mistake]]:
    """Survey and judge; return the last survey and the mistakes that all surveys found.

    A survey may coincide with somebody else's change, whose passing state is no mistake.
    """
    facts = survey()
    mistakes = judge(facts)
    for pause in PAUSES:
        if not mistakes:
            break
        time.sleep(pause)
        facts = survey()
        again = judge(facts)
        mistakes = [mistake for mistake in mistakes if mistake in again]
    return facts, mistakes


def survey_host(
    host: Host,
    urls: Sequence[str] = (),
    projects: Sequence[str] = (),
    things: Mapping[str, Sequence[str]] | None = None,
) -> LabFacts:
    """Return the result of `remote.surveys.lab` on a host.

    Args:
        host: The host.
        urls: URLs that it must reach.
        projects: LXD projects whose instances it lists.
        things: What the host may lack: `paths`, kernel `modules` and own `addresses`; and the
            `networks` of LXD's whose configuration counts.

    """
    request = {
        "sockets": client.SOCKETS, "store": host.store, "urls": list(urls),
        "projects": list(projects), **(things or {}),
    }  # fmt: skip
    facts: LabFacts = host.call("remote.surveys.lab", request)
    return facts
