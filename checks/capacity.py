"""Judge whether a class fits on its lab host, by what the host has left; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from core.kernel_limits import INOTIFY_INSTANCES, RAISE_INOTIFY

# Measured with a real YunoHost 12.1.25: a running server takes 211 MB of memory, and as a copy of a
# golden image 35 MB of disk.
MEMORY, DISK = 211 * 10**6, 35 * 10**6
# What the host itself needs of the disk: its shared files, logs, and what servers write.
RESERVE = 10**9
GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a lab host has left.

    Attributes:
        memory: Available bytes.
        disk: Free bytes of the storage pool.
        inotify: The number of inotify instances that a user may have.
        servers: The number of servers that run there already.
        used: The bytes of memory that these take together; 0 where unknown.
    """

    memory: int
    disk: int
    inotify: int
    servers: int = 0
    used: int = 0

    @property
    def each(self) -> int:
        """The bytes of memory of one more server: the mean of those there, else as measured."""
        return self.used // self.servers if self.servers and self.used else MEMORY


def fits(host: Capacity) -> int:
    """Return how many more servers fit."""
    left = host.inotify // INOTIFY_INSTANCES - host.servers
    return max(0, min(host.memory // host.each, (host.disk - RESERVE) // DISK, left))


def summary(host: Capacity, wanted: int) -> str:
    """Return a line on what a host has left, and what `wanted` more servers take."""
    takes = f"{wanted * host.each / GIB:.1f} GiB" if wanted else "nothing"
    more = "1 more server takes" if wanted == 1 else f"{wanted} more servers take"
    return (
        f"{host.memory / GIB:.1f} GiB of memory and {host.disk / GIB:.1f} GiB of disk are free; "
        f"{more} {takes} of memory when all are awake."
    )


def findings(host: Capacity, wanted: int) -> Iterator[tuple[str, str]]:
    """Yield what prevents `wanted` more servers, each with its remedy."""
    servers = host.servers + wanted
    if wanted * host.each > host.memory:
        problem = f"memory for {host.memory // host.each} more servers, and {wanted} are wanted"
        yield (
            problem,
            "start fewer at a time, or set `limits: {memory: ...}`, or take a larger host",
        )
    if wanted and wanted * DISK > host.disk - RESERVE:
        room = max(0, host.disk - RESERVE) // DISK
        problem = f"disk for {room} more servers, and {wanted} are wanted"
        yield problem, "make room in the storage pool, or give it a larger disk"
    if servers * INOTIFY_INSTANCES > host.inotify:
        takes = f"{servers} servers take {servers * INOTIFY_INSTANCES}"
        problem = f"the kernel allows {host.inotify} inotify instances, and {takes}"
        yield problem, RAISE_INOTIFY
