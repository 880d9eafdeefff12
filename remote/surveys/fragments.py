"""Survey the fragments of a host's store: their keys and owners. Runs there, read only."""

from __future__ import annotations

import json
import os
from typing import List

from remote.surveys import facts


def main(store: str) -> List[facts.Fragment]:
    """Return the keys of a store's fragments, and their owners."""
    found: List[facts.Fragment] = []
    for area in ("nat", "haproxy", "relay"):
        folder = f"{store}/{area}/fragments"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(name for name in names if name.endswith(".json") and name[0] != "."):
            try:
                with open(f"{folder}/{name}", encoding="utf-8") as stream:
                    fragment = json.load(stream)
                found.append(
                    {
                        "id": fragment["id"],
                        "owner": fragment["owner"],
                        "lab": fragment.get("lab", ""),
                        "keys": fragment["keys"],
                        "spec": fragment["spec"],
                    }
                )
            except (OSError, ValueError, KeyError):
                # The transaction reports a damaged file, with the remedy.
                continue
    return found
