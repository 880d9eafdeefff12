"""The threads of the process that serves the engine.

Pulumi's Python plugin has four, whatever the engine runs at once: six servers that are
post-installed would take the time of two, and nobody's short call would get through meanwhile.
"""

from __future__ import annotations

import concurrent.futures
import sys

THREADS = 32


def widen() -> None:
    """Let the pool whose thread this is have as many threads as calls wait; else do nothing."""
    frame = sys._getframe()  # noqa: SLF001 - a pool does not tell which is serving
    while frame is not None:
        reference = frame.f_locals.get("executor_reference")
        if callable(reference):
            pool = reference()
            if isinstance(pool, concurrent.futures.ThreadPoolExecutor):
                pool._max_workers = max(pool._max_workers, THREADS)  # noqa: SLF001
            return
        frame = frame.f_back  # type: ignore[assignment]
