"""The two maps that HAProxy routes by, and the commands that update the loaded ones. Pure.

One maps a domain to its server, the other to the server's state; HAProxy forwards only to `up`.
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
# The route that follows the post-installation overrides this state.
INSTALLING = "installing"
STOPPED = "stopped"
# Keys that cannot be domains, for a domain has a dot.
DEFAULT = "default"
GENERATION = "generation"
# At this path the frontend reports the loaded generation, to the host itself alone.
GENERATION_PATH = "/.grappe-generation"

Fragment = Mapping[str, Any]
Entries = List[Tuple[str, str]]
_LINES = re.compile(r"(?:[a-z0-9.-]+ [a-z0-9.]+\n)+")


def page(state: str) -> str:
    """Return the path of a state's page."""
    return f"{FOLDER}/{state}.html"


def render(fragments: Sequence[Fragment]) -> Dict[str, str]:
    """Return both maps by path; the states' map holds the generation.

    Raises:
        ValueError: A fragment has a line that no map can hold; names the fragment.
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
    """Return the generation in a map of states."""
    return dict(entries(states)).get(GENERATION, "")


def entries(text: str) -> Entries:
    """Return a map's keys and values, in their order."""
    pairs = (line.split(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return [(pair[0], pair[-1]) for pair in pairs]


def loaded(answer: str) -> Entries:
    """Parse HAProxy's answer to `show map`: on each line a key and a value after an address."""
    lines = (line.split(" ", 2) for line in answer.splitlines() if line)
    return [(line[1], line[-1]) for line in lines if len(line) > 1]


def commands(live: Mapping[str, Entries], files: Mapping[str, str]) -> List[str]:
    """Return the commands that turn the loaded maps into those of the files.

    A new domain gets its route before its state, and a removed one loses its state before its
    route: HAProxy forwards no domain without a state. The generation comes last.

    Args:
        live: The loaded maps, by path.
        files: The maps as they should be, by path.
    """
    routes, gone_routes = _between(ROUTES, live[ROUTES], entries(files[ROUTES]))
    states, gone_states = _between(STATES, live[STATES], entries(files[STATES]))
    last = [line for line in states if line.split()[3] == GENERATION]
    first = [line for line in states if line not in last]
    return [*routes, *first, *gone_states, *gone_routes, *last]


def _between(path: str, live: Entries, wanted: Entries) -> Tuple[List[str], List[str]]:
    """Return the commands that add or change lines, and those that remove lines."""
    if live == wanted:
        return [], []
    # A change touches a few of thousands of lines.
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
            # HAProxy uses the first of several equal keys, but `set map` would change them all.
            puts += [f"del map {path} {key}", f"add map {path} {key} {value}"]
        elif there != [value]:
            puts.append(f"{'set' if there else 'add'} map {path} {key} {value}")
    return puts, [f"del map {path} {key}" for key in held]


def _state(fragment: Fragment) -> str:
    # An older Grappe routed only to servers that were up, and wrote no state.
    return str(fragment["parts"].get("state", UP))
