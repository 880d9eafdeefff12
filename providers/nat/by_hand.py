"""NAT rules as the lab sheet has people write them, found and taken over. Pure.

Runs on the host too: standard library alone.
"""

from __future__ import annotations

import re
from typing import List, Set

from providers.fragments import document

_DNAT = re.compile(
    r"-A PREROUTING\b(?=.*\s-j DNAT\b)(?=.*\s-p (tcp|udp)\b).*\s--dport (\d+)(?=\s|$)"
)


def key(line: str) -> str:
    """Return what a rule by hand holds, as `tcp/22222`; nothing where it is no such rule."""
    match = _DNAT.match(line.strip())
    return f"{match.group(1)}/{match.group(2)}" if match else ""


def without(text: str, keys: Set[str]) -> str:
    """Return before.rules without the rules by hand for these ports; our part stays."""
    if not keys:
        return text
    found = document.split(text)
    return document.join(
        document.Document(
            _filter(found.before, keys), found.body, _filter(found.after, keys), found.flags
        )
    )


def among(lines: List[str], keys: Set[str]) -> List[str]:
    """Return the rules by hand for these ports among those that are loaded."""
    return [line for line in lines if key(line) in keys]


def _filter(text: str, keys: Set[str]) -> str:
    return "".join(line for line in text.splitlines(True) if key(line) not in keys)
