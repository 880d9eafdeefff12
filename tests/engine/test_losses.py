"""What `./lab up` refuses because a server's content would be lost, and what it keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from providers.lxd import script_run
from providers.lxd.script import Script
from stacks import authorized_keys
from tests.engine.conftest import LAB, OTHER, RELAY, Engine

DORA: dict[str, Any] = {
    "id": "doradoradora", "number": 4, "servers": [{"name": "yuno1"}, {"name": "yuno2"}],
}  # fmt: skip


@pytest.fixture
def dora(engine: Engine) -> Iterator[Engine]:
    """A lab that is up, and goes without a trace."""
    before = engine.inventory()
    engine.write("dora", **DORA)
    engine.up("dora")
    yield engine
    engine.destroy("dora")
    assert before == engine.inventory()


def created(engine: Engine, url: str, project: str = "grappe-dora") -> dict[str, str]:
    """Return when each server of a lab was created, by name."""
    found = engine.hosts[url].lxd.instances
    return {name: item["created_at"] for (owner, name), item in found.items() if owner == project}


def test_another_student_in_a_stack_file_is_refused(dora: Engine) -> None:
    """Also together with another host: the last `up` is remembered, whoever the student is."""
    before = created(dora, LAB)
    dora.write("dora", **{**DORA, "student": "emma"})
    assert 'this lab is up as "dora"' in dora.up("dora", rebuild="yuno1,yuno2", ok=False)
    dora.write("dora", **{**DORA, "student": "emma", "host": OTHER})
    assert "2 servers would be recreated or removed" in dora.up("dora", rebuild="", ok=False)
    assert before == created(dora, LAB)
    assert {} == created(dora, OTHER) == created(dora, OTHER, "grappe-emma")
    dora.write("dora", **DORA)
    # The refused runs left components in the state.
    dora.up("dora", rebuild="")
    assert before == created(dora, LAB)
    dora.assert_unchanged("dora")


def test_another_student_elsewhere_is_permitted_by_rebuild(dora: Engine) -> None:
    dora.write("dora", **{**DORA, "student": "emma", "host": OTHER})
    dora.up("dora", rebuild="yuno1,yuno2")
    assert {} == created(dora, LAB)
    assert {"yuno1", "yuno2"} == created(dora, OTHER, "grappe-emma").keys()
    dora.assert_unchanged("dora")


def test_interrupted_move_goes_back_without_a_loss(dora: Engine) -> None:
    """What was finished on neither host but the first stays there; nothing there is recreated."""
    volume = {"name": "data", "path": "/srv/data", "size": "64MiB"}
    yuno1 = {"name": "yuno1", "snapshots": ["fresh"], "volumes": [volume], "publish": "by-hand"}
    whole = {**DORA, "servers": [yuno1, {"name": "yuno2"}]}
    dora.write("dora", **whole)
    dora.up("dora")
    before = created(dora, LAB)
    things = dora.hosts[LAB].lxd
    kept = (dict(things.snapshots), dict(things.volumes), dict(things.aliases))
    dora.write("dora", **{**whole, "host": OTHER})
    assert "2 servers would be" in dora.up("dora", rebuild="", ok=False)
    dora.hosts[OTHER].lxd.fails = {"POST instances"}
    try:
        dora.up("dora", rebuild="yuno1,yuno2", ok=False)
    finally:
        dora.hosts[OTHER].lxd.fails = set()
    # The same edit may not change what is on the old host unasked.
    dora.write("dora", **{**whole, "servers": [yuno1]})
    assert "yuno2  is no longer in the stack file" in dora.up("dora", rebuild="", ok=False)
    dora.write("dora", **whole)
    dora.up("dora", rebuild="")
    assert before == created(dora, LAB)
    assert kept == (things.snapshots, things.volumes, things.aliases)
    assert {} == created(dora, OTHER)
    dora.assert_unchanged("dora")


def test_leftovers_on_the_old_host_go_with_a_move(dora: Engine) -> None:
    """As a killed run leaves them: on the host, and in no state."""
    forget(dora, "dora", "dora-yuno1-ssh")
    dora.write("dora", **{**DORA, "host": OTHER})
    dora.up("dora", rebuild="yuno1,yuno2")
    assert {} == created(dora, LAB)
    dora.assert_unchanged("dora")


@pytest.mark.parametrize("wanted", ["none", OTHER])
def test_hosts_entry_in_no_state_goes_with_the_workstation(dora: Engine, wanted: str) -> None:
    """A killed run left it; `dora` asserts that no trace stays."""
    forget(dora, "dora", "dora-yuno1-hosts")
    dora.write("dora", **{**DORA, "workstation": wanted})
    output = dora.up("dora", rebuild="")
    assert "removed hosts entry yuno1" in output
    assert "drifted" not in output
    dora.assert_unchanged("dora")


def test_lab_host_that_was_the_workstation_keeps_the_lab(engine: Engine) -> None:
    gina = {"id": "ginaginagina", "number": 7, "servers": [{"name": "yuno1"}]}
    engine.write("gina", **gina, workstation=LAB)
    engine.up("gina")
    engine.write("gina", **gina, workstation="none")
    removed = re.findall("removed (.*) from", engine.up("gina", rebuild=""))
    assert {"hosts entry yuno1"} == set(removed)
    engine.destroy("gina")


def test_keys_stay_where_their_step_gets_another_name(
    dora: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine creates the renamed step, and then deletes the old one of the same container."""
    ran: list[str] = []

    def note(_lxd: object, _project: str, _container: str, script: Script, _line: object) -> Any:
        ran.append(script.text)
        return script_run.Outcome(0, "", "")

    monkeypatch.setattr(script_run, "run", note)
    keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Dgnm2EqtYbZGQ2gMzYjn9FZ2mxrUkEyMGmEJn8ySQ a"]
    dora.write("dora", **{**DORA, "keys": keys})
    dora.up("dora")
    (removal,) = {authorized_keys.removal(user) for user in ("grappe-student",)}
    urn = dora.urn("dora", "dora-yuno1-keys")
    dora.pulumi("state", "rename", urn, "moved-keys", "--yes", "-s", "dora")
    ran.clear()
    dora.up("dora", rebuild="")
    assert ran
    assert removal not in ran
    dora.assert_unchanged("dora")
    dora.write("dora", **DORA)
    dora.up("dora", rebuild="")
    assert 2 == ran.count(removal)


def test_relay_grant_in_no_state_goes_with_the_relay(engine: Engine) -> None:
    before = engine.inventory()
    fred = {"id": "fredfredfred", "number": 6, "servers": [{"name": "yuno1"}]}
    engine.write("fred", **fred, tunnel={"relay": RELAY})
    engine.up("fred")
    forget(engine, "fred", "fred-tunnel-door")
    engine.write("fred", **fred, tunnel={"relay": OTHER})
    assert "removed relay grant" in engine.up("fred", rebuild="")
    engine.assert_unchanged("fred")
    engine.destroy("fred")
    assert before == engine.inventory()


def forget(engine: Engine, stack: str, name: str) -> None:
    """Drop a resource, and what depends on it, from the state alone."""
    engine.pulumi(
        "state", "delete", engine.urn(stack, name), "--target-dependents", "--yes", "-s", stack
    )


def test_volume_without_its_server_stops_a_move(dora: Engine) -> None:
    """Somebody deleted the server by hand; its volume is still there."""
    volume = {"name": "data", "path": "/srv/data"}
    servers = [{"name": "yuno1", "volumes": [volume]}]
    dora.write("dora", **{**DORA, "servers": servers})
    dora.up("dora", rebuild="yuno2")
    things = dora.hosts[LAB].lxd
    del things.instances["grappe-dora", "yuno1"]
    dora.write("dora", **{**DORA, "servers": servers, "host": OTHER})
    assert "yuno1/data  grappe:host is" in dora.up("dora", rebuild="", ok=False)
    assert 1 == len(things.volumes)
    dora.up("dora", rebuild="yuno1/data")
    assert {} == things.volumes


def test_way_back_from_a_finished_move_is_refused(dora: Engine) -> None:
    """By then the servers on the new host have content of their own."""
    dora.write("dora", **{**DORA, "host": OTHER})
    dora.up("dora", rebuild="yuno1,yuno2")
    moved = created(dora, OTHER)
    dora.write("dora", **DORA)
    assert "2 servers would be" in dora.up("dora", rebuild="", ok=False)
    assert moved == created(dora, OTHER)
    dora.up("dora", rebuild="yuno1,yuno2")
    assert {"yuno1", "yuno2"} == created(dora, LAB).keys()


def test_stopped_ephemeral_server_is_refused(dora: Engine) -> None:
    """It would be deleted when it stops; a new address restarts it only."""
    temporary = {"name": "yuno1", "ephemeral": True}
    dora.write("dora", **{**DORA, "servers": [temporary]})
    dora.up("dora", rebuild="yuno1,yuno2")
    before = created(dora, LAB)
    dora.write("dora", **{**DORA, "servers": [{**temporary, "state": "stopped"}]})
    assert "deleted when it stops" in dora.up("dora", rebuild="", ok=False)
    dora.write("dora", **{**DORA, "servers": [{**temporary, "address": "10.64.4.77"}]})
    dora.up("dora", rebuild="")
    assert before == created(dora, LAB)
    dora.assert_unchanged("dora")
