"""Listings of LXD that many runs ask for at the same time.

For each network LXD goes through all instances: a class of thirty takes it more than a second.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

from providers.lxd import daemon


class Listing:
    """One daemon's list of all things of a kind: `networks`, `projects` or `images`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._things: list[dict[str, Any]] = []

    def get(self, lxd: daemon.Daemon) -> list[dict[str, Any]]:
        """Return the things as they are after this call began.

        Who waited for another's request shares the one that began since.
        """
        asked = time.monotonic()
        with self._lock:
            if self._began < asked:
                began = time.monotonic()
                self._things = lxd.get(self._kind, recursion="1")
                self._began = began
            return self._things


_listings: weakref.WeakKeyDictionary[daemon.Daemon, dict[str, Listing]] = (
    weakref.WeakKeyDictionary()
)
_making = threading.Lock()


def get(lxd: daemon.Daemon, kind: str) -> list[dict[str, Any]]:
    """Return all things of a kind, each whole."""
    with _making:
        kinds = _listings.setdefault(lxd, {})
        listing = kinds.setdefault(kind, Listing(kind))
    return listing.get(lxd)
