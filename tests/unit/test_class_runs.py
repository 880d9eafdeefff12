"""Runs of many stacks at once: their order, failures and reasons."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from classroom import runner
from cli import class_reports, class_runs
from core import errors


def test_closed_or_full_output_stops_no_run() -> None:
    """The output is a pipe whose reader has left, or a full disk."""
    code = (
        "import sys; from classroom import runner; from cli import class_view\n"
        "rows = [runner.Row(name, name) for name in 'abc']; done = []\n"
        "with class_view.showing(rows, as_json=True) as show:\n"
        "    runs = runner.Runner(rows, lambda row: done.append(row.name) or '')\n"
        "    assert runs.run(1, show.wait, show.changed)\n"
        "sys.stderr.write(f'{len(done)} done')\n"
    )
    for shell in ('exec "$0" -c "$1" >/dev/full', '{ exec "$0" -c "$1"; } | :'):
        ended = subprocess.run(
            ["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, check=False
        )
        assert ended.stderr.endswith("3 done")
        assert "Traceback" not in ended.stderr
        assert ("No space left" in ended.stderr) == ("full" in shell)


def test_failed_run_stops_no_other() -> None:
    """At most two at once; each is reported when it begins and when it ends."""
    rows = [runner.Row(name, f"tp1-{name}") for name in "abcdef"]
    most, now, lock = [0], [0], threading.Lock()

    def act(row: runner.Row) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            if row.name == "b":
                raise errors.CommandError("no room")
            if row.name == "c":
                raise KeyError("x")
        finally:
            with lock:
                now[0] -= 1
        return "up"

    told: list[tuple[str, str]] = []
    made = runner.Runner(rows, act)
    assert not made.run(2, lambda: None, lambda row: told.append((row.name, row.state)))
    assert ["done", "failed", "failed", "done", "done", "done"] == [row.state for row in rows]
    assert "no room" == rows[1].text
    assert "this is a bug in Grappe" in rows[2].text
    assert most[0] <= 2
    assert {(row.name, "running") for row in rows} <= set(told)


def test_interrupt_skips_runs_that_have_not_begun() -> None:
    """The current run ends; the others are reported as skipped."""
    rows = [runner.Row(name, name) for name in "abc"]
    made = runner.Runner(rows, lambda _row: made.stop() or "up")  # type: ignore[func-returns-value]
    assert not made.run(1, lambda: None)
    assert ["done", "skipped", "skipped"] == [row.state for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\nResources:\n    + 13 to create\n    17 unchanged\n", "13 to create"),
        ("Diagnostics:\n  a has drifted: it is missing\nResources:\n    ~ 1 to update\n    +-1 to replace\n",
         "1 to update, 1 to replace, 1 drifted"),
        ("Resources:\n    30 unchanged\n", "nothing to do"),
    ],
)  # fmt: skip
def test_preview_is_summarised_in_one_line(text: str, expected: str) -> None:
    assert expected == class_runs._planned(f"\n{text}")


def test_the_reason_of_a_failure_is_the_last_error() -> None:
    """Without the engine's summary, and with its `seen` and `do` lines."""
    text = (
        "  error: Exception calling application: LXD failed: POST instances\n      seen: no room\n"
        "  pulumi:pulumi:Stack (x):\n    error: update failed\n\nDuration: 1s\n"
    )
    assert "LXD failed: POST instances seen: no room" == class_runs._reason(text)
    text += "error: the engine ended this registration: it was cancelled\n"
    assert "LXD failed: POST instances seen: no room" == class_runs._reason(text)
    assert "gr-1 created" == class_runs._reason("gr-1 created\n@ updating....\n")
    text = "error: it does not answer\n  seen: refused\n  do: ./lab sandbox up\n"
    assert "it does not answer seen: refused do: ./lab sandbox up" == class_runs._reason(text)


def test_lock_of_another_run_is_reported_without_cancel() -> None:
    """The engine recommends a command that would take the lock from the other run."""
    text = (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) "
        "to end or delete the lock file with `pulumi cancel`.\n  .pulumi/locks/x.json: created by\n"
    )
    assert "another run of it is under way: wait for its end" == class_runs._reason(text)


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ([], "down"),
        (["pulumi:pulumi:Stack", "pulumi-python:dynamic/preflight:Preflight"], "down"),
        (["pulumi-python:dynamic/lxd:Project"], "begun, and not finished"),
        (["pulumi-python:dynamic/lxd:Container"], "its `up` did not end"),
    ],
)
def test_status_of_an_interrupted_up_is_not_down(
    monkeypatch: pytest.MonkeyPatch, kinds: list[str], state: str
) -> None:
    """Its first resources are on the host, which `class down` removes."""
    recorded = [{"type": kind, "custom": True, "inputs": {}, "outputs": {}} for kind in kinds]
    monkeypatch.setattr(class_reports.files, "read", lambda *_words: {})
    monkeypatch.setattr(class_reports.classes, "is_readable", lambda _name: True)
    servers = class_reports.classes.servers(recorded)
    assert state == class_reports._state("tp1-zoe", recorded, servers)
