"""`hosts.worker`: one Python on a host answers many requests, each in a process of its own."""

from __future__ import annotations

import concurrent.futures
import io
import os
import pathlib
import re
import shutil
import signal
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from core import errors
from hosts import command, connections, url, worker
from hosts.host import Host

MODULE = "remote.worker_module"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Our own machine, to which a module of the test's is sent beside ours."""
    code = io.BytesIO(worker.packed())
    with zipfile.ZipFile(code, "a") as archive:
        archive.write(
            pathlib.Path(__file__).with_name("worker_module.py"), "remote/worker_module.py"
        )
    monkeypatch.setattr(worker, "packed", code.getvalue)
    made = connections._open(url.parse("local:"))
    yield made
    made.close()


def ask(host: Host, *, timeout: float = 20, **request: Any) -> Any:
    """Ask as the login itself, so that the test needs no root."""
    return host.call(MODULE, {"text": "", **request}, timeout=timeout, root=False)


def test_worker_keeps_nothing_between_requests(host: Host) -> None:
    """What a request leaves in its process, the next does not find."""
    ours = host._worker(sudo=False)
    first, second = ask(host, text="é" * 100_000), ask(host)
    assert "é" * 100_000 == first["text"]
    assert ["x", "x"] == [first["left"], second["left"]]
    assert ours is host._worker(sudo=False)


def test_concurrent_requests_get_their_own_answers(host: Host, tmp_path: pathlib.Path) -> None:
    """Each gets its own answer, long ones too; two that need each other meet."""
    os.mkfifo(tmp_path / "fifo")
    texts = [str(number) * 50_000 for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ends = [
            pool.submit(ask, host, meet=str(tmp_path / "fifo"), end=end)
            for end in (os.O_RDONLY, os.O_WRONLY)
        ]
        found = list(pool.map(lambda text: ask(host, text=text)["text"], texts))
        assert texts == found
        assert ["x", "x"] == [end.result()["left"] for end in ends]


def test_output_of_a_program_is_no_answer(host: Host) -> None:
    """Its output is not among the answers, and its input is empty."""
    assert ask(host, speak=True, text="mine")["text"] == "mine"


def test_failed_request_raises_its_error(host: Host) -> None:
    """In one line with file and line number; the next request is answered."""
    with pytest.raises(errors.CommandError, match="KeyError: 'text'") as raised:
        host.call(MODULE, {}, root=False)
    assert re.fullmatch(
        r"KeyError: 'text' \(in main of worker_module.py, line \d+\)", raised.value.seen
    )
    with pytest.raises(errors.HostError, match="No module named 'remote.absent'") as absent:
        host.call("remote.absent", {}, root=False)
    assert "Traceback" not in str(absent.value)
    with pytest.raises(errors.CommandError, match="killed by signal 9"):
        ask(host, die=True)
    with pytest.raises(errors.CommandError, match="did not end within 0.2 s"):
        ask(host, sleep=1, timeout=0.2)
    assert ask(host, text="still here")["text"] == "still here"


def test_ended_worker_is_started_again(host: Host) -> None:
    """The waiting request fails; the next one is answered."""
    ours = host._worker(sudo=False)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, host, sleep=30)
        command.wait_until(lambda: bool(ours._waiting), what="the request", timeout=10)
        os.killpg(ours._process.pid, signal.SIGKILL)
        with pytest.raises(errors.CommandError, match="ended without an answer"):
            waiting.result(timeout=10)
    assert ask(host, text="again")["text"] == "again"


def test_worker_ends_with_the_connection(host: Host) -> None:
    """Nothing of it is left when the connection is closed."""
    ours = host._worker(sudo=False)
    ask(host)
    host.close()
    assert ours._process.returncode is not None


@pytest.mark.parametrize("through", [(), ("sh", "-c", 'exec "$@"', "sh")])
def test_a_machine_without_sudo_gives_no_root(
    host: Host, through: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, where the program is missing, and over a shell, as sshd has it; all else works."""
    (tmp_path / "python3").symlink_to(pathlib.Path(sys.executable).resolve())
    for program in ("sh", "true"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "_sudo", True)
    monkeypatch.setattr(host._transport, "_prefix", list(through), raising=False)
    assert not host.may_be_root
    for act in (lambda: host.run(["true"]), lambda: host.call(MODULE, {"text": ""})):
        with pytest.raises(errors.HostError, match="may not become root") as failure:
            act()
        assert "apt install sudo" in failure.value.do
    assert host.run(["true"], root=False).ok
    assert "é" == ask(host, text="é")["text"]
