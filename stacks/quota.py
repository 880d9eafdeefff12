"""A student's quota, compared with the limits of the lab's servers; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from providers.lxd.options import values
from stacks import settings
from stacks.server import ServerSpec

# The settings with a server's limits, and examples.
_EXAMPLES = {
    "cpu": ("limits.cpu", "2"), "memory": ("limits.memory", "1GiB"), "disk": ("disk", "5GiB"),
}  # fmt: skip


def config(quota: settings.QuotaSettings) -> dict[str, str]:
    """Return the quota as LXD's configuration of the student's project."""
    values = {
        "limits.containers": str(quota.containers or ""), "limits.cpu": str(quota.cpu or ""),
        "limits.memory": quota.memory, "limits.disk": quota.disk,
    }  # fmt: skip
    return {key: value for key, value in values.items() if value}


def problems(
    quota: settings.QuotaSettings, servers: Sequence[ServerSpec]
) -> Iterator[tuple[str, Any, str]]:
    """Yield a quota's problems: the key, the value, the problem."""
    for key in ("containers", "cpu"):
        value = getattr(quota, key)
        if value < 0:
            yield f"quota.{key}", value, "is not a number from 1."
    if 0 < quota.containers < len(servers):
        yield "quota.containers", quota.containers, f"is less than the {len(servers)} servers."
    if quota.cpu > 0:
        counts = [_count(server.limits.get("cpu", "")) for server in servers]
        yield from _against("cpu", quota.cpu, quota.cpu, counts)
    for key in ("memory", "disk"):
        text = getattr(quota, key)
        if not text:
            continue
        allowed = values.size(text)
        if not allowed:
            yield f"quota.{key}", text, values.problem_of_size(text)
            continue
        sizes = [_limit(server, key) for server in servers]
        yield from _against(key, text, allowed, sizes)


def _limit(server: ServerSpec, key: str) -> int | None:
    if key == "memory":
        return values.size(server.limits.get("memory", ""))
    parts = [values.size(server.disk), *(values.size(volume.size) for volume in server.volumes)]
    known = [part for part in parts if part]
    return sum(known) if len(known) == len(parts) else None


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _against(
    key: str, shown: object, allowed: int, limits: Sequence[int | None]
) -> Iterator[tuple[str, Any, str]]:
    """Compare a quota with the servers' limits; LXD requires a limit of every server."""
    prefix, example = _EXAMPLES[key]
    for index, value in enumerate(limits):
        if not value:
            also = ", or the size of a volume is" if key == "disk" else ""
            problem = f"is missing{also}. With quota.{key} every server sets its own: {example}."
            yield f"servers[{index}].{prefix}", "", problem
    known = [value for value in limits if value]
    if len(known) == len(limits) and sum(known) > allowed:
        problem = f"is less than the servers' limits together: {_sum(key, known)}."
        yield f"quota.{key}", shown, problem


def _sum(key: str, values: Sequence[int]) -> str:
    if key == "cpu":
        return " + ".join(map(str, values)) + f" = {sum(values)}"
    return " + ".join(map(_short, values)) + f" = {_short(sum(values))}"


def _short(value: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value >= values.UNITS[unit]:
            return f"{value / values.UNITS[unit]:g}{unit}"
    return f"{value}B"
