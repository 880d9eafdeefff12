"""The processes of a host, by container. Runs on the host, read only.

Standard library alone. Memory is the proportional share of each process, which counts shared
pages once.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Dict

from remote.system import meminfo, read_text

Json = Dict[str, Any]
_PAYLOAD = re.compile(r"/lxc\.payload\.([^/\n]+)")


def main(request: Json) -> Json:
    """Count processes, processor time and memory.

    Args:
        request: `seconds`, over which it measures processor time.

    Returns:
        `processors`, `total` and `available` (bytes), `own` and `containers` (each
        `processes`, `cpu` in percent of one processor, `memory` in bytes), and an `example` of a
        process with its two numbers.
    """
    before, start = _ticks(), time.monotonic()
    time.sleep(request["seconds"])
    after, took = _ticks(), time.monotonic() - start
    own = _nothing()
    containers: Dict[str, Json] = {}
    example = None
    hertz = os.sysconf("SC_CLK_TCK")
    for pid, used in after.items():
        name = _container(pid)
        if name is None:
            continue
        counted = containers.setdefault(name, _nothing()) if name else own
        counted["processes"] += 1
        counted["cpu"] += 100.0 * (used - before.get(pid, used)) / hertz / took
        counted["memory"] += _memory(pid)
        if name:
            example = _better(example, pid, name)
    memory = meminfo()
    return {
        "processors": os.cpu_count() or 1,
        "total": memory["MemTotal"],
        "available": memory["MemAvailable"],
        "own": own,
        "containers": [{"name": name, **found} for name, found in containers.items()],
        "example": example,
    }


def _nothing() -> Json:
    return {"processes": 0, "cpu": 0.0, "memory": 0}


def _ticks() -> Dict[int, int]:
    """Return the processor time of every process, in ticks."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = read_text(f"/proc/{name}/stat").rpartition(")")[2].split()
            if fields:
                found[int(name)] = int(fields[11]) + int(fields[12])
    return found


def _container(pid: int) -> Any:
    """Return the container of a process, empty for the host, None for an ended process."""
    text = read_text(f"/proc/{pid}/cgroup")
    if not text:
        return None
    match = _PAYLOAD.search(text)
    return match.group(1) if match else ""


def _memory(pid: int) -> int:
    match = re.search(r"^Pss:\s+(\d+) kB", read_text(f"/proc/{pid}/smaps_rollup"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def _better(example: Any, pid: int, container: str) -> Any:
    """Return the better example process: people know web servers."""
    name = read_text(f"/proc/{pid}/comm").strip()
    numbers = re.search(r"^NSpid:\s+(.+)$", read_text(f"/proc/{pid}/status"), re.MULTILINE)
    if not numbers or (example is not None and name != "nginx"):
        return example
    inside = numbers.group(1).split()[-1]
    return {"name": name, "outside": pid, "inside": int(inside), "container": container}
