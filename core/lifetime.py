"""End this process with its engine: a killed engine leaves its plugins running."""

from __future__ import annotations

import atexit
import gc
import os
import pathlib
import select
import threading
import time

_watching = threading.Event()


def end_with_engine() -> None:
    """End this process soon after the engine that started it ends.

    A killed engine leaves its plugins running; they must not go on changing
    the host while a new run begins.
    """
    if _watching.is_set():
        return
    _watching.set()
    # The last garbage collection at exit would take 0.12 s and free nothing.
    atexit.register(gc.freeze)
    ours = engine()
    if ours is not None:
        threading.Thread(target=_watch, args=(ours,), daemon=True).start()


def _watch(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        # The engine has already ended.
        os._exit(1)
    select.select([descriptor], [], [])
    # An engine that exits in good order ends us itself: give it the time.
    time.sleep(1)
    os._exit(1)


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine runs, on systems without /proc too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # Another user's process; or no valid process id, whose files callers must not delete.
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has exited unreaped, as under a PID 1 that reaps no children."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        # It has gone meanwhile, or the system has no /proc.
        return False
    return text.rpartition(")")[2].split()[0] == "Z"


def engine() -> int | None:
    """Return the process id of the nearest ancestor that is the engine (of `up` or `destroy`)."""
    pid = os.getppid()
    while pid > 1:
        try:
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi":
                return pid
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None
    return None
