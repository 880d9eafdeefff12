"""Measuring: how long something takes, several times, as a median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def seconds(action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return how long an action takes."""
    start = time.monotonic()
    action(*args, **kwargs)
    return time.monotonic() - start


def median(values: list[float]) -> float:
    """Return the median, to the hundredth of a second."""
    return round(statistics.median(values), 2)
