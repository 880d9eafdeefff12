"""Runs of several engines attached to one process: separate configuration and cancellation."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from components import program
from core import errors, run
from engine import attached
from engine.state import State
from hosts import command
from tests.engine.conftest import LAB, Engine, run_attached

UP = ("up", "--yes", "--skip-preview")


def test_two_runs_at_once_share_nothing(engine: Engine) -> None:
    """Each has its own configuration, and its drift is reported to it alone."""
    for number, name in ((31, "ada"), (32, "bea")):
        engine.write(name, number=number, id=f"{name}{name}{name}")

    def both(*arguments: str) -> dict[str, subprocess.CompletedProcess[str]]:
        with (
            concurrent.futures.ThreadPoolExecutor(2) as pool,
            attached.serve(program.run, "grappe") as one,
            attached.serve(program.run, "grappe") as two,
        ):
            runs = {
                name: pool.submit(
                    run_attached, server, engine.project, *arguments, "-s", name, env=engine.env
                )
                for name, server in (("ada", one), ("bea", two))
            }
            return {name: each.result() for name, each in runs.items()}

    for name, done in both(*UP).items():
        assert 0 == done.returncode, done.stdout
        assert f"yuno1.{name}.grappe.test" in done.stdout
    del engine.hosts[LAB].lxd.instances["grappe-ada", "yuno1"]
    output = both("preview")
    assert "grappe-ada/yuno1 has drifted: it is missing" in output["ada"].stdout
    assert "has drifted" not in output["bea"].stdout
    for done in both("destroy", "--yes", "--skip-preview").values():
        assert 0 == done.returncode, done.stdout


def test_proxy_variables_are_ignored_on_loopback(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engine and program connect to each other directly, whatever `http_proxy` says."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    engine.write("pia", number=37, id="piapiapia")
    engine.up("pia")
    engine.assert_unchanged("pia")
    engine.destroy("pia")


def up(
    engine: Engine, server: attached.Plugin, stack: str, rebuild: str
) -> subprocess.CompletedProcess[str]:
    """Bring a stack up as `./lab up` does."""
    argv = ["pulumi", "-C", str(engine.project), *UP, "-s", stack, *server.begin("up", rebuild)]
    return subprocess.run(
        argv, env={**os.environ, **engine.env, **server.environment}, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


# Seconds in which the engine writes nothing.
QUIET_SECONDS = 1.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_engine_cancels_only_its_own_waits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Its waits end within seconds, another run's go on, and its next `up` succeeds."""
    engine.write("cleo", number=33, id="cleocleocleo")
    lxd, ended, waiting = engine.hosts[LAB].lxd, threading.Event(), threading.Event()
    other = run.Run(command="up")
    change = lxd.change

    def slow(method: str, path: str, *rest: Any, **options: Any) -> Any:
        if (method, path) == ("POST", "instances"):
            waiting.set()
            deadline = time.monotonic() + 30
            try:
                while time.monotonic() < deadline:
                    run.raise_if_cancelled()
                    time.sleep(0.02)
            except errors.CancelledError:
                ended.set()
                raise
        return change(method, path, *rest, **options)

    monkeypatch.setattr(lxd, "change", slow)
    with attached.serve(program.run, "grappe") as server:
        argv = ["pulumi", "-C", str(engine.project), *UP, "-s", "cleo", *server.begin("up")]
        going = subprocess.Popen(
            argv, env={**os.environ, **engine.env, **server.environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        command.wait_until(waiting.is_set, what="the create", timeout=30)
        # A kill while the engine writes its state leaves half of it, which is not the subject.
        path = State(engine.project / ".state", "grappe", "cleo").path
        command.wait_until(
            lambda: time.time() - path.stat().st_mtime > QUIET_SECONDS, what="a pause", timeout=20
        )
        going.send_signal(number)
        command.wait_until(ended.is_set, what="the end of its wait", timeout=10)
        assert 0 != going.wait(timeout=30)
    with run.entered(other):
        run.raise_if_cancelled()
    monkeypatch.undo()
    engine.pulumi("cancel", "--yes", "-s", "cleo", ok=None)
    engine.up("cleo")
    engine.destroy("cleo")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"servers": [{"name": "yuno1"}]}, "yuno2  is no longer in the stack file"),
        ({"image": "other"}, "grappe:image is other, and yuno1 was made from standin"),
    ],
)
def test_run_by_lab_stops_where_content_would_be_lost(
    engine: Engine, changes: dict[str, Any], words: str
) -> None:
    """The preflight surveys in threads of its own, and they know what this run may delete."""
    engine.hosts[LAB].lxd.add_image("other")
    engine.write("dora", number=34, id="doradoradora")
    with attached.serve(program.run, "grappe") as server:
        assert 0 == up(engine, server, "dora", "").returncode
        before = engine.inventory()
        engine.write("dora", number=34, id="doradoradora", **changes)
        refused = up(engine, server, "dora", "")
        assert (1, True) == (refused.returncode, words in refused.stdout), refused.stdout
        assert before.partition("files")[0] == engine.inventory().partition("files")[0]
        assert 0 == up(engine, server, "dora", "yuno1,yuno2").returncode
    engine.destroy("dora")


def test_recreated_server_is_routed_after_post_installation(engine: Engine) -> None:
    """A page says that it is being installed, so that nobody else post-installs it first."""
    engine.write("eva", number=35, id="evaevaevaeva", servers=[{"name": "yuno1"}])
    engine.pulumi("config", "set", "--secret", "grappe:password", "a long password", "-s", "eva")
    engine.up("eva")
    host = engine.hosts[LAB]
    routes: list[tuple[str, bool]] = []
    meet = host.lxd.meet

    def note(request: str) -> None:
        if not request.startswith("GET"):
            routes.append((request, any(host.root.rglob("grappe+eva+yuno1.json"))))
        meet(request)

    host.lxd.meet = note  # type: ignore[method-assign]
    with attached.serve(program.run, "grappe") as server:
        assert 0 == up(engine, server, "eva", "yuno1").returncode
    made = next(n for n, (request, _led) in enumerate(routes) if request == "POST instances")
    assert any(request.endswith("/exec") for request, _led in routes[made:])
    assert not any(led for _request, led in routes[made:])
    assert any(host.root.rglob("grappe+eva+yuno1.json"))
    engine.assert_unchanged("eva")
    engine.destroy("eva")
