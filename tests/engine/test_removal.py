"""`removal.take_down` without the engine leaves hosts and state as `pulumi destroy` does."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import errors, run
from engine import removal
from engine.state import State
from providers.lxd.container.resource import Container
from stacks import files
from tests.engine.conftest import LAB, PASSPHRASE, Engine

NAME, ID = "rita", "ritaritarita"
SETTINGS = {"number": 42, "id": ID, "servers": [{"name": "yuno1"}, {"name": "yuno2"}]}


def state_of(engine: Engine) -> State:
    """Return the stack's state."""
    return State(engine.project / ".state", "grappe", NAME)


def take_down(
    engine: Engine, changes: Callable[[str, str], None] = lambda _what, _urn: None
) -> str:
    """Take the stack down without the engine."""
    config = files.configuration(engine.project / "stacks", NAME).plain
    this = run.Run(command="destroy", rebuild="", changes=changes)
    return removal.take_down(state_of(engine), config, this)


def contents(engine: Engine) -> Any:
    """Return the state's file, without the time of its last change."""
    found = json.loads(state_of(engine).path.read_text())
    del found["checkpoint"]["latest"]["manifest"]["time"]
    return found


@pytest.fixture
def up(engine: Engine) -> Iterator[Engine]:
    """A lab with a tunnel and a password, which is up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
        relay = {"relay": "ssh://relay", "forwards": [{"listen": 8080, "port": 80}]}
        engine.write(NAME, **SETTINGS, tunnel=relay)
        if "secure" not in (engine.project / "stacks" / f"Pulumi.{NAME}.yaml").read_text():
            secret = ("--secret", "grappe:password", "not-in-plain")
            engine.pulumi("config", "set", *secret, "-s", NAME)
        engine.up(NAME)
        yield engine
        engine.destroy(NAME)


def test_take_down_leaves_what_the_engine_leaves(engine: Engine) -> None:
    engine.write(NAME, **SETTINGS)
    before = engine.inventory()
    engine.up(NAME)
    engine.destroy(NAME)
    assert before == engine.inventory()
    by_the_engine = contents(engine)
    engine.up(NAME)
    deleted: list[str] = []
    assert "" == take_down(engine, lambda _what, urn: deleted.append(urn.rpartition("::")[2]))
    assert before == engine.inventory()
    assert by_the_engine == contents(engine)
    assert not state_of(engine).locks
    # Each before what it depends on.
    assert deleted.index("rita-yuno1") < deleted.index("gr-42")
    assert deleted[-1] == "preflight"
    # The engine takes it from there.
    engine.up(NAME)
    engine.assert_unchanged(NAME)
    engine.destroy(NAME)


def test_take_down_of_a_stack_that_is_down_changes_nothing(up: Engine) -> None:
    assert "" == take_down(up)
    before = contents(up)
    assert "" == take_down(up)
    assert before == contents(up)


def test_a_failure_keeps_the_rest_in_the_state(up: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state keeps what failed and its dependencies; the next take-down resumes."""
    with monkeypatch.context() as patch:
        delete = Container.provider.delete

        def fail(self: Any, id_: str, props: dict[str, Any]) -> None:
            if props["name"] == "yuno2":
                raise errors.DaemonError("it hangs", do="wait")
            delete(self, id_, props)

        patch.setattr(Container.provider, "delete", fail)
        with pytest.raises(errors.CommandError, match="deleting Container rita-yuno2: it hangs"):
            take_down(up)
    left = {item["urn"].rpartition("::")[2] for item in state_of(up).resources()}
    assert {"rita-yuno2", "gr-42", "preflight"} <= left
    assert "rita-yuno2-http" not in left
    assert ("grappe-rita", "yuno2") in up.hosts[LAB].lxd.instances
    assert not state_of(up).locks
    assert "" == take_down(up)
    assert not state_of(up).resources()


def test_interrupt_ends_take_down_between_two_deletes(up: Engine) -> None:
    this = run.Run(command="destroy", rebuild="")
    this.changes = lambda _what, _urn: this.cancelled.set()
    with pytest.raises(errors.CommandError, match="interrupted"):
        removal.take_down(state_of(up), {}, this)
    assert state_of(up).resources()
    assert not state_of(up).locks


def test_two_runs_at_once_are_refused(up: Engine) -> None:
    """Each sees the other's lock."""
    before = contents(up)
    with state_of(up).locked():
        with pytest.raises(errors.GrappeError, match="another run of rita is under way"):
            take_down(up)
        output = up.pulumi("up", "--yes", "--skip-preview", "-s", NAME, ok=False)
    assert "currently locked by 1 lock(s)" in output
    assert before == contents(up)


def test_take_down_keeps_a_backup_of_the_state(up: Engine) -> None:
    """Beside the state, as the engine does, for whoever took the wrong stack down."""
    take_down(up)
    beside = pathlib.Path(f"{state_of(up).path}.bak")
    assert json.loads(beside.read_text())["checkpoint"]["latest"]["resources"]
