"""HAProxy's counts of requests to each server. Runs on the host: standard library alone."""

from __future__ import annotations

import re
from typing import Any, Dict, List

from remote.haproxy_unit import CONFIG
from remote.system import System

# Our socket, which admits root alone.
_SOCKET = re.compile(r"^\s*stats\s+socket\s+(\S+/grappe\.sock)\b", re.MULTILINE)
_ENTRY = re.compile(r"key=(\S+) .*conn_cnt=(\d+) conn_cur=(\d+) http_req_cnt=(\d+)")


def main(_request: Dict[str, Any]) -> Dict[str, Dict[str, int]]:
    """Return by server address its `requests`, its `connections` and those `open` now.

    HAProxy counts requests over http alone: it does not decrypt https. Without an answer there
    are no counts.
    """
    return counted(System())


def counted(system: System) -> Dict[str, Dict[str, int]]:
    """Return the counts of a machine, as `main` does."""
    match = _SOCKET.search(system.read(CONFIG).content or "")
    if not match:
        return {}
    try:
        lines: List[str] = system.send(match.group(1), "show table grappe_servers\n").splitlines()
    except OSError:
        return {}
    return {
        found.group(1): {
            "connections": int(found.group(2)),
            "open": int(found.group(3)),
            "requests": int(found.group(4)),
        }
        for found in map(_ENTRY.search, lines)
        if found
    }
