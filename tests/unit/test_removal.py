"""Taking a stack down without the engine: the order, a failure, and what is left to the engine."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from core import errors, run
from engine import removal
from engine.state import State

KIND = "pulumi-python:dynamic/nat:Rule"


def item(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    """Return a resource of a state."""
    return {"urn": f"urn:{name}", "custom": True, "type": KIND, "id": name,
            "dependencies": [f"urn:{each}" for each in needs], **more}  # fmt: skip


NETWORK, SERVER = item("network"), item("server", "network")
RULE, PROBE = item("rule", "server"), item("probe", parent="urn:server")
RESOURCES = [NETWORK, SERVER, RULE, PROBE]


@pytest.fixture
def state(tmp_path: pathlib.Path) -> State:
    """A stack that is up."""
    made = State(tmp_path, "grappe", "rita")
    made.path.parent.mkdir(parents=True)
    latest = {"manifest": {"version": "v3"}, "resources": RESOURCES}
    made.path.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    return made


def take_down(state: State, fails: str = "") -> list[str]:
    """Take it down; return the order of the deletes."""
    deleted: list[str] = []

    def delete(item: Mapping[str, Any]) -> None:
        if item["id"] == fails:
            raise errors.DaemonError("it hangs")
        deleted.append(item["id"])

    with run.Pool(1) as pool:
        removal._take_down(state, state.load(), delete, pool)
    return deleted


def test_resource_is_deleted_after_its_dependents(state: State) -> None:
    deleted = take_down(state)
    assert ["server", "network"] == deleted[2:]
    assert {"rule", "probe"} == set(deleted[:2])
    assert "resources" not in state.load()
    assert "time" in state.load()["manifest"]


def test_a_failure_keeps_what_is_left(state: State) -> None:
    with pytest.raises(errors.CommandError, match="rule: it hangs"):
        take_down(state, fails="rule")
    # Its dependencies are kept.
    assert {"rule", "server", "network"} <= {item["id"] for item in state.resources()}
    assert set(take_down(state)) >= {"rule", "server", "network"}
    assert [] == state.resources()


def test_lock_excludes_a_second_run(state: State) -> None:
    with state.locked():
        (lock,) = state.locks
        assert {"pid", "username", "hostname", "timestamp"} == set(json.loads(lock.read_text()))
        # As of a laptop whose name has changed since: nobody here can end that run.
        lock.write_text(lock.read_text().replace(socket.gethostname(), "old-name"))
        with (
            pytest.raises(errors.GrappeError, match="another run of rita") as found,
            state.locked(),
        ):
            pass
        assert "on old-name began it at" in found.value.seen
        assert "pulumi cancel -s rita" in found.value.do
        assert [lock] == state.locks
    assert [] == state.locks


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protect": True}, "has protect"),
        ({"retainOnDelete": True}, "has retainOnDelete"),
        ({"type": "command:local:Command"}, "is another provider's"),
        ({"dependencies": ["urn:later"]}, "depends on urn:later, which is not before it"),
        ({"propertyDependencies": {"address": ["urn:later"]}}, "depends on urn:later"),
        ({"replaceWith": ["urn:later"]}, "depends on urn:later"),
        ({"provider": "urn:pulumi:providers:x::default::id"}, "depends on urn:pulumi:providers:x"),
    ],
)
def test_unusual_state_is_left_to_the_engine(change: dict[str, Any], reason: str) -> None:
    assert "" == removal.unusual({"resources": RESOURCES})
    assert reason in removal.unusual({"resources": [NETWORK, {**SERVER, **change}]})


def test_an_unfinished_run_is_left_to_the_engine() -> None:
    assert removal.unusual({"resources": RESOURCES, "pending_operations": [{}]})
