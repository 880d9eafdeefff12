"""LXD's client: errors that it interprets or retries, and changes in the background."""

from __future__ import annotations

import threading
import types
from typing import Any

import pytest

from core import errors
from providers.lxd import client, daemon


@pytest.mark.parametrize(
    "error",
    [
        daemon.AbsentError("instances/x/logs/exec_1.stdout"),
        errors.DaemonError(
            "LXD refused", seen="open /var/log/lxd/x/exec_1.stdout: no such file or directory"
        ),
    ],
)
def test_a_log_that_lxd_has_not_opened_yet_is_empty(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LXD opens a program's log after it has answered; another refusal is one."""
    lxd = client.Lxd(None)  # type: ignore[arg-type]
    told: list[Exception] = [error]

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise told[0]

    monkeypatch.setattr(lxd, "_send", refuse)
    assert b"" == lxd._read_log("instances/x/logs/exec_1.stdout", {})
    told[0] = errors.DaemonError("LXD refused", seen="permission denied")
    with pytest.raises(errors.DaemonError):
        lxd._read_log("instances/x/logs/exec_1.stdout", {})


@pytest.mark.parametrize(("failures", "works"), [(1, True), (4, True), (5, False)])
def test_file_is_read_again_after_forkfile_ended(
    monkeypatch: pytest.MonkeyPatch, failures: int, works: bool
) -> None:
    """It ends when it is idle, and LXD answers with its missing socket for a moment."""
    lxd = client.Lxd(types.SimpleNamespace(url="ssh://fake"))  # type: ignore[arg-type]
    seen = "dial unix /proc/self/fd/143/forkfile.sock: connect: no such file or directory"
    answers = iter(
        [errors.DaemonError("refused", seen=seen)] * failures
        + [types.SimpleNamespace(content=b"x")]
    )

    def send(*_words: Any, **_options: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(lxd, "_send", send)
    monkeypatch.setattr(client, "FILE_PAUSE", 0)
    if works:
        assert b"x" == lxd.read_file("instances/yuno1/files", file="/etc/hosts")
    else:
        with pytest.raises(errors.DaemonError):
            lxd.read_file("instances/yuno1/files", file="/etc/hosts")


def test_program_is_waited_for_while_its_output_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """LXD forgets an operation soon after its end: reading may take longer on a busy host."""
    lxd = client.Lxd(types.SimpleNamespace(url="ssh://fake"))  # type: ignore[arg-type]
    waits: list[str] = []
    waiting = threading.Event()

    def send(method: str, path: str, **_options: Any) -> Any:
        answer: dict[str, Any] = {}
        if path.endswith("/exec"):
            answer = {"operation": "/1.0/operations/1"}
        elif path.endswith("/wait"):
            waits.append(path)
            code = 103 if len(waits) == 1 else 200
            answer = {"metadata": {"status_code": code, "metadata": {"return": 7}}}
            if len(waits) > 1:
                waiting.set()
        elif method == "get":
            assert waiting.wait(10)
        return types.SimpleNamespace(json=lambda: answer, content=b"out")

    monkeypatch.setattr(lxd, "_send", send)
    monkeypatch.setattr(client.Lxd, "program", "lxc")
    done = lxd.execute("yuno1", ["true"], project="x", timeout=9)
    assert (7, b"out", b"out") == (done.status, done.stdout, done.stderr)


def test_operation_lost_by_a_restart_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An LXD that starts again knows no operation of before, and says "not found"."""
    lxd = client.Lxd(types.SimpleNamespace(url="ssh://fake"))  # type: ignore[arg-type]

    def lose(_method: str, path: str, **_options: Any) -> Any:
        raise daemon.AbsentError(path)

    monkeypatch.setattr(lxd, "_send", lose)
    with pytest.raises(errors.DaemonError, match="restarted meanwhile"):
        lxd._wait("/1.0/operations/1?project=x", "PUT instances/x/state", 9)


class TestBegin:
    """`begin` starts a change in the background; `finish` waits for it."""

    def lxd(self, change: Any, found: Any) -> client.Lxd:
        """Return a client whose POST and GET are these."""
        lxd = client.Lxd(types.SimpleNamespace(url="ssh://fake"))  # type: ignore[arg-type]
        lxd.change = change  # type: ignore[method-assign]
        lxd.get = found  # type: ignore[method-assign]
        return lxd

    def test_begin_returns_before_lxd_has_ended(self) -> None:
        """LXD knows the object at the second request, and the POST still runs."""
        ended, answers = threading.Event(), iter([daemon.AbsentError("networks/gr-1"), None])

        def change(*_arguments: Any, **_options: Any) -> dict[str, Any]:
            assert ended.wait(10)
            return {}

        def get(_path: str) -> Any:
            if error := next(answers):
                raise error

        lxd = self.lxd(change, get)
        lxd.begin("networks", {}, "networks/gr-1")
        waiting = threading.Thread(target=lxd.finish, args=("networks/gr-1",), daemon=True)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        ended.set()
        waiting.join(10)
        assert not waiting.is_alive()
        lxd.finish("networks/gr-2")

    def test_a_refusal_is_raised_at_once_or_at_the_end(self) -> None:
        """Before LXD knows the thing by `begin`, afterwards by every `finish`."""
        refused, known = errors.DaemonError("LXD refused"), threading.Event()

        def change(*_arguments: Any, **_options: Any) -> dict[str, Any]:
            if is_late:
                assert known.wait(10)
            raise refused

        def get(_path: str) -> Any:
            if not is_late:
                raise daemon.AbsentError("networks/gr-1")
            known.set()

        for is_late in (False, True):
            lxd = self.lxd(change, get)
            if is_late:
                lxd.begin("networks", {}, "networks/gr-1")
            else:
                with pytest.raises(errors.DaemonError, match="LXD refused"):
                    lxd.begin("networks", {}, "networks/gr-1")
            for _turn in range(2):
                with pytest.raises(errors.DaemonError, match="LXD refused"):
                    lxd.finish("networks/gr-1")

    def test_object_removed_during_creation_is_reported(self) -> None:
        """LXD calls it not found; the next `begin` replaces the outcome."""
        answers, known = iter([daemon.AbsentError("networks"), None]), threading.Event()

        def change(*_arguments: Any, **_options: Any) -> None:
            assert known.wait(10)
            if error := next(answers):
                raise error

        lxd = self.lxd(change, lambda _path: known.set())
        lxd.begin("networks", {}, "networks/gr-1")
        with pytest.raises(errors.DaemonError, match="networks/gr-1 was removed meanwhile"):
            lxd.finish("networks/gr-1")
        lxd.begin("networks", {}, "networks/gr-1")
        lxd.finish("networks/gr-1")

    def test_removal_waits_for_the_creation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is sent after the POST, even a refused one; then the outcome is forgotten."""
        sent, known = [], threading.Event()

        def send(method: str, *_arguments: Any, **_options: Any) -> dict[str, Any]:
            if method == "POST":
                assert known.wait(10)
            sent.append(method)
            if method == "POST":
                raise errors.DaemonError("LXD refused")
            return {}

        lxd = client.Lxd(None)  # type: ignore[arg-type]
        monkeypatch.setattr(lxd, "_change", send)
        monkeypatch.setattr(lxd, "get", lambda _path: None)
        monkeypatch.setattr(lxd, "_repair", lambda *_arguments: False)
        lxd.begin("networks", {}, "networks/gr-1")
        removal = threading.Thread(target=lxd.change, args=("DELETE", "networks/gr-1"), daemon=True)
        removal.start()
        removal.join(0.1)
        assert [] == sent
        known.set()
        removal.join(10)
        assert ["POST", "DELETE"] == sent
        lxd.finish("networks/gr-1")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("LXD is shutting down", "systemctl is-active lxd"),
        ("LXD daemon setup in progress", "systemctl is-active lxd"),
        ("Failed to begin transaction: database is locked", "run the same again"),
        ("write /var/lib/x: no space left on device", "lxc storage info"),
        ("backup.yaml: disk quota exceeded", "lxc exec SERVER --project PROJECT -- df"),
        ("Too many open files", "fs.inotify"),
        ("Invalid devices", ""),
    ],
)
def test_refusal_of_lxd_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, said: str, words: str
) -> None:
    """At once, or at the end of an operation."""
    monkeypatch.setattr(client, "find_socket", lambda _host: "/var/lib/incus/unix.socket")
    lxd = client.Lxd(types.SimpleNamespace(url="ssh://fake"))  # type: ignore[arg-type]
    with pytest.raises(errors.DaemonError) as refused:
        lxd._judge({"status_code": 400, "err": said}, "PUT instances/x", 1)
    assert words.replace("lxc ", "incus ") in refused.value.do
    assert bool(words) == bool(client.remedy(said)) == bool(refused.value.do)
