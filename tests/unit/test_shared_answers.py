"""`core.shared_answers.Shared`: concurrent runs share the answer to a costly question."""

from __future__ import annotations

import threading
from concurrent import futures

import pytest

from core import errors, run
from core.shared_answers import Shared
from hosts import command
from providers.preflight import surveying


class Slow:
    """Answers with its own questions, once it may."""

    def __init__(self) -> None:
        self.began, self.free = threading.Event(), threading.Event()
        self.asked: list[list[int]] = []
        self.fails: Exception | None = None
        self.shared: Shared[int, list[int]] = Shared(self.ask)

    def ask(self, questions: list[int]) -> list[int]:
        """Wait, then answer."""
        self.asked.append(questions)
        self.began.set()
        assert self.free.wait(10)
        if self.fails:
            failure, self.fails = self.fails, None
            raise failure
        return questions

    def waiting(self, count: int) -> None:
        """Wait until so many wait."""
        command.wait_until(
            lambda: len(self.shared._waiting) == count, what="them", timeout=10, pause=0.01
        )


def test_answer_is_never_older_than_its_question() -> None:
    """Eight questions that arrive during an answer share the next one."""
    slow = Slow()
    with futures.ThreadPoolExecutor(9) as pool:
        first = pool.submit(slow.shared.answer, 0)
        assert slow.began.wait(10)
        others = [pool.submit(slow.shared.answer, number) for number in range(1, 9)]
        slow.waiting(8)
        slow.free.set()
        assert [0] == first.result()
        for number, other in enumerate(others, 1):
            assert number in other.result()
    assert [[0], list(range(1, 9))] == [sorted(each) for each in slow.asked]
    assert [9] == slow.shared.answer(9)


def test_failure_reaches_only_its_own_question() -> None:
    """The questions that arrived later are answered."""
    slow = Slow()
    with futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(slow.shared.answer, 0)
        assert slow.began.wait(10)
        others = [pool.submit(slow.shared.answer, number) for number in (1, 2)]
        slow.waiting(2)
        slow.fails = errors.HostError("gone")
        slow.free.set()
        with pytest.raises(errors.HostError):
            first.result()
        assert {1, 2} == {*others[0].result(), *others[1].result()}


def test_an_interrupted_run_ends_only_its_own_question() -> None:
    """Whether it asks for all or waits for another; the others are answered."""
    slow = Slow()
    stopped = run.Run()

    def answer(number: int) -> list[int]:
        with run.entered(stopped):
            return slow.shared.answer(number)

    with futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(slow.shared.answer, 0)
        assert slow.began.wait(10)
        waits, other = pool.submit(answer, 1), pool.submit(slow.shared.answer, 2)
        slow.waiting(2)
        stopped.cancelled.set()
        with pytest.raises(errors.CancelledError):
            waits.result(10)
        slow.fails = errors.CancelledError("interrupted")
        slow.free.set()
        with pytest.raises(errors.CancelledError):
            first.result(10)
        assert 2 in other.result(10)


def test_one_survey_answers_several_requests() -> None:
    """It asks for all of theirs, and each gets what it would have got alone."""
    first = {"sockets": ["s"], "store": "/x", "urls": ["u"], "projects": ["a"], "networks": ["gr-1"],
             "paths": ["/p"]}  # fmt: skip
    second = {**first, "urls": [], "projects": ["b"], "networks": ["gr-2"], "paths": []}
    asked = surveying.merged([first, second])
    assert {**first, "projects": ["a", "b"], "networks": ["gr-1", "gr-2"]} == asked
    everything = {key: value for key, value in first.items() if key != "networks"}
    assert "networks" not in surveying.merged([second, everything])
    nets = [{"name": f"gr-{n}", "config": {"n": str(n)}} for n in (1, 2)]
    facts = {
        "lxd": {"networks": nets, "pools": ["p"]}, "instances": [{"project": "a"}, {"project": "b"}],
        "reached": {"u": ""}, "absent": ["/p"], "missing": ["ufw"],
    }  # fmt: skip
    alone = {
        "lxd": {"networks": [{"name": "gr-1", "config": {}}, nets[1]], "pools": ["p"]},
        "instances": [{"project": "b"}], "reached": {}, "absent": [], "missing": ["ufw"],
    }  # fmt: skip
    assert alone == surveying.narrowed(facts, second)  # type: ignore[arg-type]
    silent = {**facts, "lxd": {"error": "there is no LXD"}}
    assert silent == surveying.narrowed(silent, {**asked, "projects": ["a", "b"]})  # type: ignore[arg-type]
