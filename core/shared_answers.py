"""Share one answer to a costly question among the threads that ask it at the same time."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent import futures
from typing import Any, Generic, TypeVar

from core import errors, run

Q = TypeVar("Q")
A = TypeVar("A")
# Seconds between two checks that a waiting run was not interrupted.
WAIT_SECONDS = 0.5
# Seconds in which the resources of one plan ask for the same.
GATHER_SECONDS = 0.005


class Shared(Generic[Q, A]):
    """Answers waiting threads in batches; a batch begins after all of its questions arrived.

    Args:
        ask: Answers a batch of questions; all of them get its one result.
        gather: Seconds to wait for more questions before a batch begins.
    """

    def __init__(self, ask: Callable[[list[Q]], A], *, gather: float = 0.0) -> None:
        self._ask = ask
        self._gather = gather
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: list[tuple[Q, futures.Future[A]]] = []

    def answer(self, question: Q) -> A:
        """Return the answer to a question, perhaps one to others' questions too.

        Raises:
            errors.CancelledError: The run was interrupted while it waited.
            Exception: What `ask` raised, to all who waited for it.
        """
        future: futures.Future[A] = futures.Future()
        with self._lock:
            self._waiting.append((question, future))
        while not future.done():
            if not self._asking.acquire(timeout=WAIT_SECONDS):
                run.raise_if_cancelled()
                continue
            try:
                if not future.done():
                    time.sleep(self._gather)
                    self._serve(future)
            finally:
                self._asking.release()
        return future.result()

    def _serve(self, own: futures.Future[A]) -> None:
        with self._lock:
            asked, self._waiting = self._waiting, []
        try:
            answer = self._ask([question for question, _future in asked])
        except errors.CancelledError:
            # Only this thread's run was interrupted: the others ask again.
            with self._lock:
                self._waiting += [each for each in asked if each[1] is not own]
            raise
        except Exception as error:  # noqa: BLE001 - each of them raises it
            for _question, future in asked:
                future.set_exception(error)
        else:
            for _question, future in asked:
                future.set_result(answer)


Questions = dict[str, Shared[Any, Any]]
_questions: weakref.WeakKeyDictionary[Any, Questions] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def about(
    thing: object, key: str, ask: Callable[[list[Q]], A], *, gather: float = GATHER_SECONDS
) -> Shared[Q, A]:
    """Return the `Shared` of a thing, such as a host, under a key; the first call creates it.

    Args:
        thing: The thing; the `Shared` lives as long.
        key: The name of the kind of question.
        ask: As for `Shared`; it must not hold the thing.
        gather: As for `Shared`.
    """
    with _making:
        return _questions.setdefault(thing, {}).setdefault(key, Shared(ask, gather=gather))
