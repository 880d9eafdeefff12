"""Listings of LXD that many runs ask for at the same time.

For each network LXD goes through all instances: a class of thirty takes it more than a second.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from core.shared import Shared
from providers.lxd import daemon

Things = list[dict[str, Any]]
_listings: weakref.WeakKeyDictionary[daemon.Daemon, dict[str, Shared[daemon.Daemon, Things]]] = (
    weakref.WeakKeyDictionary()
)
_making = threading.Lock()


def get(lxd: daemon.Daemon, kind: str) -> Things:
    """Return all `networks`, `projects` or `images` as they are after this call began."""
    with _making:
        kinds = _listings.setdefault(lxd, {})
        listing = kinds.setdefault(kind, Shared(lambda lxds: lxds[0].get(kind, recursion="1")))
    return listing.answer(lxd)
