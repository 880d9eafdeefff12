"""Listings of LXD that many runs ask for at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from core import shared_answers
from providers.lxd import daemon

Things = list[dict[str, Any]]


class Networks:
    """The networks of one daemon, each read once.

    For each network that it shows LXD goes through all instances: a class of thirty takes it more
    than a second.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def list(self, lxds: Sequence[daemon.Daemon]) -> Things:
        """Return the networks that are there now."""
        names = [url.rpartition("/")[2] for url in lxds[0].get("networks")]
        known, self._known = self._known, {}
        for name in names:
            with contextlib.suppress(daemon.AbsentError):
                self._known[name] = known.get(name) or lxds[0].get(f"networks/{name}")
        return [*self._known.values()]


def get(lxd: daemon.Daemon, kind: str) -> Things:
    """Return all `networks`, `projects` or `images` as they are after this call began.

    A network that was there at an earlier call of this process may have changed since.
    """
    if kind == "networks":
        return shared_answers.about(lxd, kind, Networks().list).answer(lxd)

    def whole(lxds: Sequence[daemon.Daemon]) -> Things:
        return list(lxds[0].get(kind, recursion="1"))

    return shared_answers.about(lxd, kind, whole).answer(lxd)
