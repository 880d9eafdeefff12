"""Survey LXD for a preflight: what it has, and what its profiles bring. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

import json
import os
import socket
import urllib.parse
from typing import Any, Container, Dict, Iterable, List, Optional, Tuple

from remote import daemons, plain_http
from remote.surveys import facts

SECONDS = 30

Json = Dict[str, Any]


def main(sockets: List[str], networks: Optional[List[str]], sized: Container[str]) -> facts.Lxd:
    """Survey LXD.

    Args:
        sockets: The paths of its socket.
        networks: Those whose configuration counts; None for all.
        sized: The pools whose space counts.
    """
    socket_path = _first(sockets)
    if not socket_path:
        return {"error": "there is no LXD"}
    program = daemons.program(socket_path)
    try:
        profiles = query(socket_path, "profiles?recursion=1")
        images = query(socket_path, "images?recursion=1")
        pools = [path.rpartition("/")[2] for path in query(socket_path, "storage-pools")]
        return {
            "program": program,
            "projects": [
                {"name": item["name"], "config": item["config"]}
                for item in query(socket_path, "projects?recursion=1")
            ],
            "networks": list(_networks(socket_path, networks)),
            "aliases": {
                item["name"]: item["target"]
                for item in query(socket_path, "images/aliases?recursion=1")
            },
            "images": {item["fingerprint"]: item["properties"] or {} for item in images},
            "sizes": {item["fingerprint"]: item.get("size", 0) for item in images},
            "pools": pools,
            "spaces": dict(_spaces(socket_path, (name for name in pools if name in sized))),
            "members": _members(socket_path),
            "profiles": [item["name"] for item in profiles],
            "brings": {item["name"]: item["devices"] for item in profiles},
            "sets": {item["name"]: item["config"] for item in profiles},
            "gone": _gone(device for item in profiles for device in item["devices"].values()),
        }
    except (OSError, ValueError, KeyError) as error:
        return {"error": unanswered(error), "program": program}


def unanswered(error: Exception) -> str:
    """Return in words that a query failed."""
    words = str(error) if isinstance(error, OSError) else f"{type(error).__name__} {error}"
    return f"LXD does not answer: {words}"


def _spaces(socket_path: str, pools: Iterable[str]) -> Iterable[Tuple[str, facts.Pool]]:
    """Yield the pools that answer: one whose disk is away does not."""
    for name in pools:
        path = "storage-pools/" + urllib.parse.quote(name)
        try:
            space = query(socket_path, path + "/resources")["space"]
            volumes = query(socket_path, path + "/volumes/image")
            driver = query(socket_path, path)["driver"]
        except (OSError, ValueError, KeyError):
            continue
        yield (
            name,
            {
                "driver": driver,
                "free": space.get("total", 0) - space.get("used", 0),
                "unpacked": [volume.rpartition("/")[2].partition("?")[0] for volume in volumes],
            },
        )


def _gone(devices: Iterable[Json]) -> List[str]:
    """Return the host's paths that devices name as their source, and that are not there."""
    sources = {device.get("source", "") for device in devices if "pool" not in device}
    return sorted(each for each in sources if each[:1] == "/" and not os.path.exists(each))


def _networks(socket_path: str, wanted: Optional[List[str]]) -> Iterable[facts.Marked]:
    """Yield all networks; if `wanted` is not None, others have an empty configuration.

    To show a network's configuration, LXD goes through all instances.
    """
    if wanted is None:
        for item in query(socket_path, "networks?recursion=1"):
            yield {"name": item["name"], "config": item["config"]}
        return
    for path in query(socket_path, "networks"):
        name = urllib.parse.unquote(path.rpartition("/")[2])
        whole = query(socket_path, "networks/" + name) if name in wanted else {}
        yield {"name": name, "config": whole.get("config") or {}}


def _members(socket_path: str) -> List[str]:
    """Return the members of the host's cluster; none for a host without one."""
    if not query(socket_path, "cluster").get("enabled"):
        return []
    return [path.rpartition("/")[2] for path in query(socket_path, "cluster/members")]


def instances(sockets: List[str], projects: List[str]) -> List[facts.Instance]:
    """Return the instances of projects, of their config only our marks.

    Raises:
        OSError, ValueError, KeyError: As `query`.
    """
    found: List[facts.Instance] = []
    socket_path = _first(sockets)
    if not socket_path:
        return found
    paths = query(socket_path, "projects")
    there = {urllib.parse.unquote(path.rpartition("/")[2]) for path in paths}
    for project in projects:
        if project not in there:
            continue
        asked = urllib.parse.urlencode({"project": project, "recursion": "1"})
        for item in query(socket_path, "instances?" + asked):
            marks = {k: v for k, v in item["config"].items() if k.startswith("user.grappe.")}
            found.append(
                {
                    "name": item["name"],
                    "project": project,
                    "ephemeral": item["ephemeral"],
                    "location": item.get("location", ""),
                    "config": marks,
                }
            )
    return found


def _first(sockets: Iterable[str]) -> str:
    return next((path for path in sockets if os.path.exists(path)), "")


def try_query(sockets: Iterable[str], path: str) -> Any:
    """Return what `query` does; None without an answer, which other parts report."""
    socket_path = _first(sockets)
    try:
        return query(socket_path, path) if socket_path else None
    except (OSError, ValueError, KeyError):
        return None


def query(socket_path: str, path: str) -> Any:
    """Return LXD's metadata for a path below /1.0/; `socket_path` is its socket.

    Raises:
        OSError: Nobody answers, or LXD answers with an error, as one that starts or stops does.
        ValueError, KeyError: What answers is not LXD.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(socket_path)
        answer = json.loads(plain_http.get(connection, f"/1.0/{path}".rstrip("/")))
    if answer.get("type") == "error":
        raise OSError(answer["error"])
    # Nothing at all is null where LXD has no list.
    return [] if answer["metadata"] is None else answer["metadata"]
