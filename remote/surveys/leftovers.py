"""The fragments and tunnels of a lab on one host. Runs there: standard library alone."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List

from remote import identity
from remote.names import TUNNEL_HOME
from remote.surveys import fragments
from remote.system import read_text

Json = Dict[str, Any]
TARGETS = ("nat", "haproxy", "hosts", "relay")
# The id of a store that a killed change left without any fragment; any removal clears it.
EMPTY = "of a killed run"


def main(request: Json) -> Json:
    """Return the fragments and tunnels that carry a lab's marks.

    Args:
        request: `store`, Grappe's folder; `owner` and `lab`, the marks; `root`, a prefix of
            every path, for a host that is a folder.

    Returns:
        `fragments`, each with `target` and `id`, and `tunnels`, their names.
    """
    root = request.get("root", "")
    found = [
        {"target": held["target"], "id": held["id"]}
        for held in fragments.main(root + request["store"], TARGETS)
        if identity.belongs(held, request["owner"], request["lab"])
    ]
    found += [
        {"target": target, "id": EMPTY}
        for target in TARGETS
        if _is_empty(f"{root}{request['store']}/{target}")
    ]
    tunnels: List[str] = []
    folder = root + TUNNEL_HOME
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        held = {
            "owner": read_text(f"{folder}/{name}/owner").strip(),
            **_read(f"{folder}/{name}/lab"),
        }
        # A killed removal takes the marks last, and leaves the folder.
        emptied = name == identity.stack_of(request["owner"]) and not os.listdir(f"{folder}/{name}")
        if emptied or identity.belongs(held, request["owner"], request["lab"]):
            tunnels.append(name)
    return {"fragments": found, "tunnels": tunnels}


def _is_empty(folder: str) -> bool:
    """Whether a target's store is there without a fragment: the last removal removes the store."""
    fragments = folder + "/fragments"
    held = os.listdir(fragments) if os.path.isdir(fragments) else []
    return os.path.isdir(folder) and not any(name.endswith(".json") for name in held)


def _read(path: str) -> Json:
    """Parse a file; a damaged one gives nothing, and the next change of it reports it."""
    try:
        found = json.loads(read_text(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
