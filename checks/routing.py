"""Routes of the host that cover a student's network; pure."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator

from core.names import STUDENTS
from remote.surveys.facts import HostFacts, Route

_OWN_TABLES = {"", "main", "local", "default"}


def covering(facts: HostFacts, subnet: str, bridge: str) -> Iterator[str]:
    """Yield the routes that lead a student's network elsewhere than to its bridge.

    In a table before the main one the longest prefix wins; a `throw` route goes on to the next
    table.
    """
    wanted = ipaddress.IPv4Network(subnet)
    listed = [
        (ipaddress.IPv4Network(route["to"]), route)
        for route in facts.get("routes", ())
        if route["device"] != bridge
    ]
    past = False
    for table, group in itertools.groupby(listed, lambda item: item[1]["table"]):
        if past and table not in _OWN_TABLES:
            continue
        found = list(group)
        over = [item for item in found if wanted.subnet_of(item[0])]
        inside = [item for item in found if item[0] != wanted and item[0].subnet_of(wanted)]
        if table in _OWN_TABLES:
            # A shorter route in the main table loses to the bridge's own.
            over = [item for item in over if item[0] == wanted or _is_throw(item[1])]
        best = max(over, key=lambda item: item[0].prefixlen, default=None)
        for _network, route in [*([best] if best else []), *inside]:
            if not _is_throw(route):
                yield str(route["line"])
        # A policy rule may send the network to the main table: later tables then do not count.
        past = past or bool(best and table in _OWN_TABLES and _is_throw(best[1]))


def _is_throw(route: Route) -> bool:
    return route["line"].startswith("throw ")


def removal_command(line: str) -> str:
    """Return the command that frees labs of a route, or of a routing policy rule."""
    if line.startswith("rule "):
        return f"ip rule del {line[5:]}"
    if " table " in line:
        # Others need the route in that table: send labs to the main table before it.
        return f"ip rule add to {STUDENTS} lookup main priority 1, also where the rules are made"
    return f"ip route del {line}"
