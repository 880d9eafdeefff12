"""Snapshots of a class: resets that LXD refuses, that are undone, and that were killed."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from classroom import snapshots
from core import errors
from providers.lxd import fake


def test_reset_that_lxd_refuses_starts_the_server_again() -> None:
    seen: list[object] = []

    class Refusing:
        def change(self, _method: str, _path: str, body: dict[str, Any], **_more: object) -> None:
            seen.append(body)
            if "restore" in body:
                raise errors.DaemonError("LXD refused: no such snapshot")

    lxd = Refusing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_get", lambda *_: {**STOPPED, "status": "Running", "config": {}})
        patch.setattr(snapshots, "_rename_before_reset", lambda *_: "start")
        patch.setattr(snapshots, "_keep", lambda *_: {})
        server = snapshots.Server(
            "zoe", "tp1-zoe", "yuno1", "grappe-zoe", "10.64.1.10", False, True
        )
        with pytest.raises(errors.DaemonError):
            snapshots.reset(
                object(), lxd, server, snapshots.Snapshot("start", dt.datetime.now(tz=dt.UTC))
            )
    assert [{"action": "stop", "force": True}, {"restore": "start"}, {"action": "start"}] == seen


# A server as LXD has it.
STOPPED: dict[str, Any] = {
    "status": "Stopped", "devices": {}, "ephemeral": False, "profiles": [], "description": "",
    "architecture": "x86_64",
}  # fmt: skip


@pytest.mark.parametrize("early", [True, False])
def test_reset_to_before_the_post_installation_is_undone(
    monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Otherwise the first visitor could become its administrator; a later snapshot is kept."""
    lxd = fake.FakeLxd()
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10", post_installed=True)
    restored: list[str] = []

    def change(_method: str, _path: str, body: dict[str, Any], **_options: object) -> None:
        restored.extend([body["restore"]] if "restore" in body else [])

    monkeypatch.setattr(lxd, "change", change)
    monkeypatch.setattr(lxd, "get", lambda *_path, **_options: {**STOPPED, "config": {}})
    monkeypatch.setattr(snapshots, "_rename_before_reset", lambda _lxd, _server, name: name)
    monkeypatch.setattr(snapshots.postinstall, "is_installed", lambda *_words: not early)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    if not early:
        snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
        assert ["fresh"] == restored
        return
    with pytest.raises(errors.CommandError, match="--rebuild yuno1"):
        snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert ["fresh", snapshots.BEFORE_RESET] == restored
    free = dataclasses.replace(server, post_installed=False)
    snapshots.reset(None, lxd, free, to)  # type: ignore[arg-type]
    assert "fresh" == restored[-1]


@pytest.mark.parametrize(("runs", "started"), [(True, ["start"]), (False, [])])
def test_a_reset_starts_what_a_killed_one_stopped(
    monkeypatch: pytest.MonkeyPatch, runs: bool, started: list[str]
) -> None:
    """Where its stack wants it to run; one that is asleep stays so."""
    lxd = fake.FakeLxd()
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10", runs=runs)
    actions: list[str] = []

    def change(_method: str, _path: str, body: dict[str, Any], **_options: object) -> None:
        actions.extend([body["action"]] if "action" in body else [])

    monkeypatch.setattr(lxd, "change", change)
    monkeypatch.setattr(lxd, "get", lambda *_path, **_options: {**STOPPED, "config": {}})
    monkeypatch.setattr(snapshots, "_rename_before_reset", lambda _lxd, _server, name: name)
    monkeypatch.setattr(snapshots, "_wait", lambda *_words: None)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert started == actions


def test_reset_of_an_ephemeral_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """LXD would delete it, with its snapshots, when it stops."""
    lxd = fake.FakeLxd()
    asked: list[str] = []
    monkeypatch.setattr(lxd, "change", lambda method, path, *_body, **_options: asked.append(path))
    found = {**STOPPED, "ephemeral": True, "status": "Running", "config": {}}
    monkeypatch.setattr(lxd, "get", lambda *_path, **_options: found)
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10", runs=True)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    with pytest.raises(errors.CommandError, match="it is ephemeral"):
        snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert [] == asked


def test_snapshot_of_a_missing_server_is_refused() -> None:
    """The error has the `up` that recreates the server."""
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10")
    with pytest.raises(errors.CommandError, match="./lab up tp1-zoe recreates it"):
        snapshots.choose(fake.FakeLxd(), server, "fresh")
