"""Changes of LXD that go on while the run does something else."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent import futures

from core import run

# Seconds between two checks that a waiting run was not interrupted, and that LXD knows a thing.
WAIT_SECONDS = 1.0
KNOWN_SECONDS = 0.02


class BackgroundChanges:
    """The changes that this process has begun, each by the path of what it makes."""

    def __init__(self) -> None:
        self._outcomes: dict[str, futures.Future[None]] = {}

    def begin(self, thing: str, make: Callable[[], object], is_known: Callable[[], bool]) -> None:
        """Run `make` in a thread; return as soon as LXD knows the thing.

        Raises:
            Exception: What `make` raised before LXD knew the thing.
        """
        outcome: futures.Future[None] = futures.Future()
        self._outcomes[thing] = outcome

        def act() -> None:
            try:
                make()
                outcome.set_result(None)
            except BaseException as error:  # noqa: BLE001 - `finish` raises it
                outcome.set_exception(error)

        # A pool's thread would keep this process from ending while LXD does not answer.
        work = contextvars.copy_context()
        threading.Thread(target=work.run, args=(act,), daemon=True).start()
        while not outcome.done():
            if is_known():
                return
            futures.wait([outcome], timeout=KNOWN_SECONDS)
        outcome.result()

    def wait(self, thing: str) -> None:
        """Wait until the change that makes the thing has ended, with or without success."""
        if outcome := self._outcomes.get(thing):
            while not futures.wait([outcome], timeout=WAIT_SECONDS).done:
                run.raise_if_cancelled()

    def finish(self, thing: str) -> None:
        """Wait for the change that makes the thing; return at once where there is none.

        Raises:
            Exception: What the change raised, at each call until the thing is forgotten.
        """
        self.wait(thing)
        if outcome := self._outcomes.get(thing):
            outcome.result()

    def forget(self, thing: str) -> None:
        """Drop the outcome of a thing that was removed."""
        self._outcomes.pop(thing, None)
