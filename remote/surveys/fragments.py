"""Survey the fragments of a host's store: their keys and owners. Runs there, read only."""

from __future__ import annotations

import json
import os
from typing import List, Sequence

from remote.surveys import facts
from remote.system import read_text


def main(store: str, targets: Sequence[str] = ("nat", "haproxy", "relay")) -> List[facts.Fragment]:
    """Return the fragments of a store's targets, without damaged files; `store` is its folder."""
    found: List[facts.Fragment] = []
    for target in targets:
        folder = f"{store}/{target}/fragments"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(name for name in names if name.endswith(".json") and name[0] != "."):
            try:
                fragment = json.loads(read_text(f"{folder}/{name}"))
                found.append(
                    {
                        "target": target,
                        "id": fragment["id"],
                        "owner": fragment["owner"],
                        "lab": fragment.get("lab", ""),
                        "keys": fragment["keys"],
                        "spec": fragment["spec"],
                    }
                )
            except (TypeError, ValueError, KeyError):
                # The transaction reports a damaged file, with the remedy.
                continue
    return found
