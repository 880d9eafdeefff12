"""Widen the thread pool of the process that serves the engine.

Pulumi's Python plugin has four threads, whatever the engine's parallelism: six post-installations
at once would take the time of two, and block everybody's short calls meanwhile.
"""

from __future__ import annotations

import concurrent.futures
import sys

THREADS = 32


def widen() -> None:
    """Give this thread's pool as many threads as calls wait; outside a pool, do nothing."""
    frame = sys._getframe()  # noqa: SLF001 - a pool does not tell which is serving
    while frame is not None:
        reference = frame.f_locals.get("executor_reference")
        if callable(reference):
            pool = reference()
            if isinstance(pool, concurrent.futures.ThreadPoolExecutor):
                pool._max_workers = max(pool._max_workers, THREADS)  # noqa: SLF001
            return
        frame = frame.f_back  # type: ignore[assignment]
