"""Many runs at once: a failure stops no other run; an interrupt ends each at a safe point."""

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
    """One run of a student's lab or server, and its current state.

    Attributes:
        name: The student's label.
        stack: The stack.
        state: `waiting`, `running`, `done`, `failed` or `skipped`.
        text: Its progress, or its result.
        log: The path of its whole output.
        began: Its start, on the monotonic clock.
        seconds: Its duration.
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
        """Its seconds so far."""
        return time.monotonic() - self.began if self.state == RUNNING else self.seconds


Act = Callable[[Row], str]


class Runner:
    """Runs of a class.

    Args:
        rows: One a student.
        act: Does one, and returns its result; raises GrappeError on failure.

    Attributes:
        stopped: Set when no further run may begin.
    """

    def __init__(self, rows: Sequence[Row], act: Act) -> None:
        self.rows = rows
        self._act = act
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Begin no further run; the caller ends those under way."""
        self.stopped.set()

    def run(
        self,
        jobs: int,
        wait: Callable[[], None] = lambda: time.sleep(0.2),
        changed: Callable[[Row], None] = lambda _row: None,
    ) -> bool:
        """Do all runs, `jobs` at once; return whether all succeeded.

        Args:
            jobs: The number of parallel runs.
            wait: Called repeatedly during the runs.
            changed: Called with a row after each change of its state.
        """
        with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
            asked = [pool.submit(self._one, row, changed) for row in self.rows]
            try:
                while not all(each.done() for each in asked):
                    wait()
            except BaseException:
                # Begin no further run.
                self.stop()
                raise
            for each in asked:
                each.result()
        return all(row.state == DONE for row in self.rows)

    def _one(self, row: Row, changed: Callable[[Row], None]) -> None:
        if self.stopped.is_set():
            row.state, row.text = SKIPPED, "not begun: interrupted"
            changed(row)
            return
        row.state, row.began = RUNNING, time.monotonic()
        changed(row)
        try:
            row.text, state = self._act(row), DONE
        except errors.GrappeError as error:
            row.text, state = str(error), FAILED
        except Exception as error:  # noqa: BLE001 - told in the row; the others go on
            row.text, state = str(errors.unexpected(error)), FAILED
        row.seconds, row.state = time.monotonic() - row.began, state
        changed(row)
