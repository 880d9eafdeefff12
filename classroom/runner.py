"""Many runs at once: one that fails stops no other, and an interrupt ends in good order."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from core import errors

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"


@dataclasses.dataclass
class Row:
    """One student's run, as it is now.

    Attributes:
        name: The student's label.
        stack: The stack.
        state: `waiting`, `running`, `done`, `failed` or `skipped`.
        text: What is going on, or what came of it.
        log: Where all that the run said is.
        began: When it began, on the monotonic clock.
        seconds: How long it took.
    """

    name: str
    stack: str
    state: str = WAITING
    text: str = ""
    log: str = ""
    began: float = 0.0
    seconds: float = 0.0

    @property
    def took(self) -> float:
        """Seconds that it has gone on."""
        return time.monotonic() - self.began if self.state == RUNNING else self.seconds


Act = Callable[[Row], str]


class Runner:
    """Runs of a class.

    Args:
        rows: One a student.
        act: Does one, and returns what came of it; raises GrappeError where it fails.
        changed: Called with a row after each change of its state.

    Attributes:
        stopped: Set when no other is to begin.

    """

    def __init__(
        self, rows: Sequence[Row], act: Act, changed: Callable[[Row], None] = lambda _row: None
    ) -> None:
        self.rows = rows
        self._act = act
        self._changed = changed
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Begin no other; those under way are ended by who began them."""
        self.stopped.set()

    def run(self, jobs: int, wait: Callable[[], None] = lambda: time.sleep(0.2)) -> bool:
        """Do them all, so many at once; return whether all went well.

        Args:
            jobs: How many at once.
            wait: Called again and again while they go on.

        """
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            asked = [pool.submit(self._one, row) for row in self.rows]
            try:
                while not all(each.done() for each in asked):
                    wait()
            except BaseException:
                # Those that have not begun are not begun any more.
                self.stop()
                raise
            for each in asked:
                each.result()
        return all(row.state == DONE for row in self.rows)

    def _one(self, row: Row) -> None:
        if self.stopped.is_set():
            row.state, row.text = SKIPPED, "not begun: interrupted"
            self._changed(row)
            return
        row.state, row.began = RUNNING, time.monotonic()
        self._changed(row)
        try:
            row.text, state = self._act(row), DONE
        except errors.GrappeError as error:
            row.text, state = str(error), FAILED
        except Exception as error:  # noqa: BLE001 - told in the row; the others go on
            row.text, state = str(errors.unexpected(error)), FAILED
        row.seconds, row.state = time.monotonic() - row.began, state
        self._changed(row)
