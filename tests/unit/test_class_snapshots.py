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
        patch.setattr(snapshots, "_rename_by_time", lambda *_: None)
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
    monkeypatch.setattr(snapshots, "_rename_by_time", lambda *_: None)
    monkeypatch.setattr(snapshots, "_delete_oldest", lambda *_: None)
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
    monkeypatch.setattr(snapshots, "_rename_by_time", lambda *_: None)
    monkeypatch.setattr(snapshots, "_delete_oldest", lambda *_: None)
    monkeypatch.setattr(snapshots, "_wait", lambda *_words: None)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert started == actions


class Machine:
    """A server in LXD: its content, its config and its snapshots; `cut` kills a run at a change."""

    program = "lxc"

    def __init__(self, driver: str = "btrfs") -> None:
        self.content, self.config, self.driver = "work", dict[str, str](), driver
        self.snapshots: dict[str, tuple[str, dict[str, str]]] = {}
        self.created: dict[str, str] = {}
        self.cut, self.changes = 0, 0

    def get(self, path: str, **_options: object) -> Any:
        if path.startswith("storage-pools/"):
            return {"driver": self.driver}
        if path.endswith("/snapshots"):
            return [{"name": f"yuno1/{name}", "config": config, "created_at": self.created[name]}
                    for name, (_content, config) in self.snapshots.items()]  # fmt: skip
        root = {"root": {"type": "disk", "path": "/", "pool": "default"}}
        return {**STOPPED, "config": dict(self.config), "expanded_devices": root}

    def change(
        self, method: str, path: str, body: dict[str, Any] | None = None, **_options: object
    ) -> None:
        self.changes += 1
        if self.changes == self.cut:
            raise KeyboardInterrupt
        match method, path.split("/")[2:], body or {}:
            case "PATCH", [], {"config": config}:
                # LXD drops a key with an empty value.
                self.config = {key: text for key, text in {**self.config, **config}.items() if text}
            case "PUT", [], {"restore": name}:
                self.content, self.config = self.snapshots[name][0], dict(self.snapshots[name][1])
            case "PUT", [], {"config": config}:
                self.config = dict(config)
            case "POST", ["snapshots"], {"name": name}:
                assert name not in self.snapshots
                self.snapshots[name] = (self.content, dict(self.config))
                moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(0, self.changes)
                self.created[name] = f"{moment:%Y-%m-%dT%H:%M:%S}.123456789Z"
            case "POST", ["snapshots", old], {"name": name}:
                assert name not in self.snapshots
                self.snapshots[name] = self.snapshots.pop(old)
                self.created[name] = self.created.pop(old)
            case "DELETE", ["snapshots", name], _:
                del self.snapshots[name]


ZOE = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10")


def reset(lxd: Any, name: str) -> None:
    snapshots.reset(None, lxd, ZOE, snapshots.choose(lxd, ZOE, name))  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", range(1, 8))
def test_undo_of_a_reset_goes_on_after_a_kill(cut: int) -> None:
    """At each of its changes; all within one second, whose names would be the same."""
    machine = Machine()
    lxd: Any = machine
    snapshots.take(lxd, ZOE, "start")
    machine.content = "three weeks"
    reset(lxd, "start")
    assert "work" == machine.content
    machine.content = "after the reset"
    machine.cut = machine.changes + cut
    with pytest.raises(KeyboardInterrupt):
        reset(lxd, "before-reset")
    machine.cut = 0
    if "before-reset" in machine.snapshots:
        reset(lxd, "before-reset")
    assert "three weeks" == machine.content
    assert {"work", "three weeks", "after the reset"} <= {
        each for each, _ in machine.snapshots.values()
    }


def test_old_snapshots_of_resets_go_after_a_success_alone() -> None:
    machine = Machine()
    lxd: Any = machine
    snapshots.take(lxd, ZOE, "start")
    for number in range(7):
        machine.content = f"work {number}"
        reset(lxd, "start")
    kept = {each for each, _config in machine.snapshots.values()}
    assert {"work", *(f"work {number}" for number in range(2, 7))} == kept
    oldest = snapshots.find(lxd, ZOE)[1].name
    reset(lxd, oldest)
    assert ("work 2", True) == (machine.content, oldest in machine.snapshots)


def test_clock_that_went_back_deletes_no_newer_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marks have the laptop's clock; the lab host's orders the snapshots."""
    machine = Machine()
    lxd: Any = machine
    now = [dt.datetime(2026, 9, 1, tzinfo=dt.UTC)]

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            now[0] += dt.timedelta(1)
            return now[0]

    monkeypatch.setattr(snapshots.dt, "datetime", Clock)
    snapshots.take(lxd, ZOE, "start")
    for number in range(6):
        machine.content = f"old {number}"
        reset(lxd, "start")
    now[0] -= dt.timedelta(400)
    for content in ("three weeks of work", "a try"):
        machine.content = content
        reset(lxd, "start")
    kept = {each for each, _config in machine.snapshots.values()}
    assert {"work", "old 3", "old 4", "old 5", "three weeks of work", "a try"} == kept


def test_snapshot_by_hand_is_none_of_the_class() -> None:
    """LXD copies a container's marks into each snapshot of it, whoever takes it."""
    machine = Machine()
    lxd: Any = machine
    snapshots.take(lxd, ZOE, "start")
    reset(lxd, "start")
    assert {} == machine.config
    lxd.change("POST", "instances/yuno1/snapshots", {"name": "before-reset-exam"})
    for _turn in range(8):
        reset(lxd, "start")
    assert "before-reset-exam" in machine.snapshots
    lxd.change("DELETE", "instances/yuno1/snapshots/start")
    lxd.change("POST", "instances/yuno1/snapshots", {"name": "start"})
    with pytest.raises(errors.CommandError, match="made by hand: .*start"):
        snapshots.choose(lxd, ZOE, "start")


def test_reset_on_zfs_is_refused_with_a_copy_by_hand() -> None:
    """LXD's restore there would delete the snapshot of the present state."""
    machine = Machine("zfs")
    lxd: Any = machine
    snapshots.take(lxd, ZOE, "start")
    with pytest.raises(
        errors.CommandError, match="lxc export yuno1 yuno1-before.tar.gz --project p"
    ):
        reset(lxd, "start")
    assert ["start"] == list(machine.snapshots)


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
