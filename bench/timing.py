"""Measure durations, their median, and the machine's speed."""

from __future__ import annotations

import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")
# proc(5), `cpu`: user, nice, system, idle, iowait, irq, softirq, steal. These are no work of ours:
_IDLE = (3, 4, 7)


def seconds(action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return the seconds that an action takes."""
    start = time.monotonic()
    action(*args, **kwargs)
    return time.monotonic() - start


def processor() -> float:
    """Return the processor time of this machine since its start, in seconds."""
    first = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0]
    counts = [int(count) for count in first.split()[1:9]]
    worked = sum(count for index, count in enumerate(counts) if index not in _IDLE)
    return worked / os.sysconf("SC_CLK_TCK")


def loop() -> float:
    """Return the seconds of a constant loop, which show the machine's current speed."""
    return seconds(lambda: sum(number * number for number in range(3_000_000)))


def median(values: list[float]) -> float:
    """Return the median, to the hundredth of a second."""
    return round(statistics.median(values), 2)
