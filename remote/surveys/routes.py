"""Survey the IPv4 routes that may lead labs' packets. Runs on the host, read only."""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, Iterable, List, Optional, Tuple

from remote.names import INNER_BRIDGES, STUDENTS
from remote.surveys import facts, programs

# The ports of servers that HAProxy and DNAT dial.
PORTS = (22, 80, 443)


def main() -> List[facts.Route]:
    """Return the IPv4 routes that may lead labs' packets, in the order in which they are consulted.

    Those of the tables before the main one come first, then its own; not those to the host itself.
    """
    tables: Dict[str, List[facts.Route]] = {}
    last: Optional[facts.Route] = None
    for line in programs.run(["ip", "-4", "route", "show", "table", "all"])[1].splitlines():
        words = line.split()
        if not words or line[0].isspace():
            # One of several ways of the route before it.
            if last and not last["device"] and "dev" in words[:-1]:
                last["device"] = words[words.index("dev") + 1]
            continue
        kinds = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
        kind = words.pop(0) if words[0] in (*kinds, "local", "broadcast", "multicast") else ""
        to = "0.0.0.0/0" if words[0] == "default" else words[0]
        named = {word: words[index + 1] for index, word in enumerate(words[:-1])}
        if kind in ("local", "broadcast", "multicast"):
            continue
        last = {
            "to": to if "/" in to else to + "/32",
            "device": named.get("dev", ""),
            "table": named.get("table", ""),
            "line": line.strip(),
        }
        tables.setdefault(named.get("table", "main"), []).append(last)
    inner = {
        route["to"] for route in tables.get("main", []) if INNER_BRIDGES.match(route["device"])
    }
    found = [
        route for rule in _rules() if "not" in rule[0] or rule[1].get("from") not in inner
        for route in _routes_of(rule, tables)
    ]  # fmt: skip
    return [*found, *tables.get("main", []), *tables.get("default", [])]


def _rules() -> Iterable[Tuple[List[str], Dict[str, str]]]:
    """Yield the rules of routing that labs' packets meet.

    A rule for marked packets, for one user, for one source address, or for protocols, ports and
    interfaces that labs do not use, concerns others.
    """
    for line in programs.run(["ip", "-4", "rule", "show"])[1].splitlines():
        words = line.split()[1:]
        named = {word: words[index + 1] for index, word in enumerate(words[:-1])}
        one = named.get("from", "all") != "all" and "/" not in named["from"]
        # `fwmark 0/MASK` is for packets without a mark.
        mark = int(named.get("fwmark", "0").partition("/")[0], 0)
        others = "fwmark" in named and bool(mark) is not ("not" in words)
        if one or others or "uidrange" in named or "sport" in named:
            continue
        if "not" not in words and _is_others(named):
            continue
        if named.get("lookup") != "local":
            yield words, named


def _routes_of(
    rule: Tuple[List[str], Dict[str, str]], tables: Dict[str, List[facts.Route]]
) -> Iterable[facts.Route]:
    """Yield the routes of a rule's table, or the rule as one."""
    words, named = rule
    # The kernel keeps the bits of the host.
    to = str(ipaddress.IPv4Network(named.get("to", "0.0.0.0/0").replace("all", "0.0.0.0/0"), False))
    own: facts.Route = {"to": to, "device": "", "table": "rule",
                        "line": "rule " + " ".join(words)}  # fmt: skip
    if {"prohibit", "blackhole", "unreachable"} & set(words):
        yield own
    elif named.get("lookup") == "main":
        # This policy rule sends its network to the main table, past later rules' tables.
        yield {**own, "table": "main", "line": "throw " + own["line"]}
    else:
        least = int(named.get("suppress_prefixlength", -1))
        for route in tables.get(named.get("lookup", ""), []):
            narrow = _narrowed(route["to"], own["to"], negated="not" in words and "to" in named)
            if narrow and int(route["to"].rpartition("/")[2]) > least:
                yield {**route, "to": narrow}


def _narrowed(to: str, limit: str, *, negated: bool) -> str:
    """Return the part of a route's network that a rule's `to` leaves; empty for none."""
    route, only = ipaddress.IPv4Network(to), ipaddress.IPv4Network(limit)
    if negated:
        # The route for the rest of a larger network stays whole.
        inside = route.subnet_of(only) or STUDENTS.subnet_of(only)
        return "" if inside else to
    if not route.overlaps(only):
        return ""
    return str(route if route.subnet_of(only) else only)


def _is_others(named: Dict[str, str]) -> bool:
    """Whether a rule of routing is for packets that no lab sends or gets."""
    text = named.get("dport", "")
    ports = [int(port) for port in text.split("-")] if re.fullmatch(r"\d+(?:-\d+)?", text) else [22]
    return (
        "oif" in named
        or named.get("iif", "").startswith(("docker", "br-", "virbr", "lxd", "wg", "tun"))
        or named.get("ipproto", "tcp") not in ("tcp", "6")
        or not any(ports[0] <= port <= ports[-1] for port in PORTS)
    )
