"""The two maps that HAProxy routes by, and how a loaded one becomes what is wished. Pure.

One says where a domain leads, the other what state its server is in; only `up` is forwarded to.
Runs on the host too: standard library alone.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Dict, List, Mapping, Sequence, Tuple

FOLDER = "/var/lib/grappe/haproxy"
ROUTES = f"{FOLDER}/routes.map"
STATES = f"{FOLDER}/states.map"
UP = "up"
# Gives way to the route that is made when the post-installation is done.
INSTALLING = "installing"
STOPPED = "stopped"
# Keys that no domain can be, for a domain has a dot.
DEFAULT = "default"
GENERATION = "generation"
# Where the frontend answers which generation is loaded, to the host itself alone.
GENERATION_PATH = "/.grappe-generation"

Fragment = Mapping[str, Any]
Entries = List[Tuple[str, str]]
_LINES = re.compile(r"(?:[a-z0-9.-]+ [a-z0-9.]+\n)+")


def page(state: str) -> str:
    """Return the file of a state's page."""
    return f"{FOLDER}/{state}.html"


def render(fragments: Sequence[Fragment]) -> Dict[str, str]:
    """Return both maps by path, the generation in that of the states.

    Raises:
        ValueError: A line that no map could hold; says which fragment it is from.

    """
    stated = [(_state(fragment), fragment["parts"], fragment) for fragment in fragments]
    up = {d for state, parts, _ in stated if state != INSTALLING for d in parts["domains"]}
    routes, states = [], []
    for state, parts, fragment in stated:
        domains = parts["domains"]
        if state == INSTALLING:
            domains = [domain for domain in domains if domain not in up]
        if not domains:
            continue
        if parts["default"]:
            domains = [*domains, DEFAULT]
        spec = fragment["spec"]
        end = f" {spec['address']}\n"
        lines = "".join([domain + end for domain in domains])
        whole = _LINES.fullmatch(lines) and lines.count("\n") == len(domains)
        if not whole or not state.isalpha():
            raise ValueError(str(fragment["id"]))
        routes.append(f"# {fragment['owner']}: {spec['name']}\n{lines}")
        states += [f"{domain} {state}\n" for domain in domains]
    texts, body = {ROUTES: "".join(routes)}, "".join(states)
    digest = hashlib.sha256((texts[ROUTES] + body).encode()).hexdigest()[:16]
    texts[STATES] = f"# changed by Grappe alone\n{GENERATION} {digest}\n{body}"
    return texts


def generation(states: str) -> str:
    """Return the generation that a map of states says."""
    return dict(entries(states)).get(GENERATION, "")


def entries(text: str) -> Entries:
    """Return a map's keys and values, in their order."""
    pairs = (line.split(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return [(pair[0], pair[-1]) for pair in pairs]


def loaded(answer: str) -> Entries:
    """Return the keys and values of what HAProxy says to `show map`: each after an address."""
    lines = (line.split(" ", 2) for line in answer.splitlines() if line)
    return [(line[1], line[-1]) for line in lines if len(line) > 1]


def commands(live: Mapping[str, Entries], files: Mapping[str, str]) -> List[str]:
    """Return what makes loaded maps those of the files; the generation is the last.

    A domain leads somewhere before its state says so, and says so no more before it leads nowhere:
    one without a state is forwarded nowhere.

    Args:
        live: What is loaded, by path.
        files: The maps as they should be, by path.

    """
    routes, gone_routes = _between(ROUTES, live[ROUTES], entries(files[ROUTES]))
    states, gone_states = _between(STATES, live[STATES], entries(files[STATES]))
    last = [line for line in states if line.split()[3] == GENERATION]
    first = [line for line in states if line not in last]
    return [*routes, *first, *gone_states, *gone_routes, *last]


def _between(path: str, live: Entries, wanted: Entries) -> Tuple[List[str], List[str]]:
    """Return the commands that add or change, and those that take away."""
    if live == wanted:
        return [], []
    # Of thousands of lines a change is about a few.
    keys = {key for key, _ in set(live) ^ set(wanted)}
    held: Dict[str, List[str]] = {}
    for key, value in live:
        if key in keys:
            held.setdefault(key, []).append(value)
    puts = []
    for key, value in wanted:
        if key not in keys:
            continue
        there = held.pop(key, [])
        if len(there) > 1:
            # Of several lines the first is taken, and `set map` would change them all.
            puts += [f"del map {path} {key}", f"add map {path} {key} {value}"]
        elif there != [value]:
            puts.append(f"{'set' if there else 'add'} map {path} {key} {value}")
    return puts, [f"del map {path} {key}" for key in held]


def _state(fragment: Fragment) -> str:
    # An older Grappe routed what is up alone, and wrote no state.
    return str(fragment["parts"].get("state", UP))
