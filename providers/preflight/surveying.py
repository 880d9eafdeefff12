"""Run the survey on a host, one for all runs that ask for it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from core import problems, shared_answers
from hosts.host import Host
from providers.lxd import client
from remote.surveys.facts import LabFacts

Facts = TypeVar("Facts")
# What a host may lack: paths, kernel modules, own addresses, and what `surveys.abilities` reports.
THINGS = ("paths", "modules", "addresses", "abilities")
# Seconds before the second survey, and before the third.
PAUSES = (0.4, 1.2)


def survey_and_confirm(
    survey: Callable[[], Facts], judge: Callable[[Facts], list[problems.Mistake]]
) -> tuple[Facts, list[problems.Mistake]]:
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
        things: What the host may lack: `THINGS`; and the `networks` of LXD's whose configuration
            counts.
    """
    request = {
        "sockets": client.SOCKETS, "store": host.store, "urls": list(urls),
        "projects": list(projects), **(things or {}),
    }  # fmt: skip
    return narrowed(shared_answers.about(host, "survey", _survey).answer((host, request)), request)


def _survey(asked: Sequence[tuple[Host, dict[str, Any]]]) -> LabFacts:
    host = asked[0][0]
    facts: LabFacts = host.call("remote.surveys.lab", merged([request for _host, request in asked]))
    return facts


def merged(requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one request for all that several ask for."""
    whole: dict[str, Any] = {}
    for request in requests:
        for key, value in request.items():
            known = whole.setdefault(key, value)
            if known != value:
                whole[key] = list(dict.fromkeys([*known, *value]))
    if any("networks" not in request for request in requests):
        # A request without names asks for all.
        whole.pop("networks", None)
    return whole


def narrowed(facts: LabFacts, request: Mapping[str, Any]) -> LabFacts:
    """Return the facts of a survey as if this request had been the only one."""
    wanted = {each for name in THINGS for each in request.get(name, ())}
    projects, urls = request["projects"], request["urls"]
    lxd = dict(facts["lxd"])
    if "networks" in request and "networks" in lxd:
        lxd["networks"] = [
            each if each["name"] in request["networks"] else {**each, "config": {}}
            for each in facts["lxd"]["networks"]
        ]
    return {
        **facts,
        "lxd": lxd,  # type: ignore[typeddict-item]
        "instances": [item for item in facts["instances"] if item["project"] in projects],
        "reached": {url: why for url, why in facts["reached"].items() if url in urls},
        "absent": [each for each in facts["absent"] if each in wanted],
    }
