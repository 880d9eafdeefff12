"""The domains of a lab's servers, against those that are taken; pure."""

from __future__ import annotations

from collections.abc import Iterator

from checks.preflight import claims
from checks.preflight.spec import PreflightSpec
from core import problems
from remote.surveys.facts import LabFacts


def check(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse domains and a default server that another lab holds."""
    holders, own = claims.holders(spec, facts), claims.own_keys(spec, facts)
    for index, server in enumerate(spec.servers):
        key = f"grappe:servers[{index}].domain"
        if (mine := own.get(f"domain {server.domain}", server.name)) != server.name:
            yield problems.Mistake(key, claims.still_held(server.domain, mine, server.name))
        if holder := holders.get(f"domain {server.domain}"):
            yield problems.Mistake(key, f'"{server.domain}" is {holder}.')
        if f"domain {server.domain}" in own:
            # The lab already had this domain before, so it keeps it.
            continue
        parent = server.domain.partition(".")[2]
        for other, holder in holders.items():
            word, _space, name = other.partition(" ")
            if word == "domain" and (name == parent or name.partition(".")[2] == server.domain):
                yield problems.Mistake(
                    key,
                    f'"{server.domain}" and "{name}" are a domain and its sub-domain, and "{name}" '
                    f"is {holder}. A sub-domain follows its parent's route: choose another.",
                )
    if spec.default and (holder := holders.get("the default backend")):
        yield problems.Mistake("grappe:default", f"the host's default server is {holder}.")
