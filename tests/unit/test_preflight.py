"""What a host's state says against a lab; the host is a captured survey."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import pytest

from providers import identity
from providers.fragments import document
from providers.preflight import model, survey

SURVEY = json.loads((pathlib.Path(__file__).parent / "golden" / "survey.json").read_text())
LAB = model.PreflightSpec(
    host="ssh://lab", owner="grappe/bob", name="preflight", number=8, student="bob",
    project="grappe-bob", bridge="gr-8", subnet="10.64.8.0/24",
    servers=(model.PlannedServer(name="yuno1", domain="yuno1.bob.grappe.test", port=22292,
                                 address="10.64.8.10", image="standin"),),
)  # fmt: skip


def facts(**changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(SURVEY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for parent in parents:
            place = place[parent]
        place[last] = value
    return found


def test_haproxy_is_asked_of_what_it_did_not_take_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what stands around our part; what it took at our last change is well."""
    config = document.put("global\n", "ours\n")
    files = {"/etc/haproxy/haproxy.cfg": config, "/store/haproxy/loaded": "global\n"}
    monkeypatch.setattr(survey, "_text", files.get)
    monkeypatch.setattr(survey, "run", lambda _argv: (1, "", "[ALERT] unknown keyword"))
    monkeypatch.setattr(survey.shutil, "which", lambda name, path: f"{path}/{name}")
    assert "" == survey._haproxy("/store")
    for changed in ("global\n  nonsense\n", None):
        files["/store/haproxy/loaded"] = changed
        assert "[ALERT] unknown keyword" == survey._haproxy("/store")


def test_a_host_with_room_has_nothing_against_it() -> None:
    """No mistake, also when another student is there."""
    assert [] == model.judge(LAB, facts())


def test_our_own_things_are_no_obstacle() -> None:
    """A lab that is up already passes its own preflight."""
    mine = {"config": {identity.OWNER: "grappe/bob"}}
    found = facts(
        lxd__networks=[{"name": "gr-8", "managed": True, **mine}],
        lxd__projects=[{"name": "grappe-bob", **mine}],
        fragments=[{"id": "grappe/bob/yuno1_ssh", "owner": "grappe/bob", "keys": ["tcp/22292"]},
                   {"id": "grappe/bob/yuno1", "owner": "grappe/bob",
                    "keys": ["domain yuno1.bob.grappe.test"]}],
        subnets=[{"interface": "gr-8", "subnet": "10.64.8.1/24"}],
    )  # fmt: skip
    assert [] == model.judge(LAB, found)


THEIRS = {"config": {identity.OWNER: "grappe/alice"}}
CASES = {
    "no programs": ({"missing": ["haproxy", "ufw"]}, ["apt install haproxy", "apt install ufw"]),
    "no LXD": ({"lxd": {"error": "there is no LXD"}}, ["ssh://lab: there is no LXD"]),
    "HAProxy was broken": (
        {"haproxy": "[ALERT]    (1) : config : parsing [x:1] : unknown keyword 'y'"},
        ["before Grappe has changed anything: config : parsing [x:1] : unknown keyword 'y'"],
    ),
    "the number is taken": (
        {"lxd__networks": [{"name": "gr-8", "managed": True, **THEIRS}]},
        ["8 is alice's (stack grappe/alice), on ssh://lab. Free: 1 to 7, 9 to 4000."],
    ),
    "the project is not ours": (
        {"lxd__projects": [{"name": "grappe-bob", "config": {}}]},
        ["taken by something that Grappe did not make: the LXD project grappe-bob exists"],
    ),
    "port and domain are taken": (
        {"fragments": [{"id": "x", "owner": "grappe/alice",
                        "keys": ["tcp/22292", "domain yuno1.bob.grappe.test"]}]},
        ["22292 is alice's (stack grappe/alice).",
         '"yuno1.bob.grappe.test" is alice\'s (stack grappe/alice).'],
    ),
    "the port is the host's": (
        {"listening": [{"port": 22292, "program": "nginx"}]},
        ["22292 is in use on the host, by nginx."],
    ),
    "somebody has the web ports": (
        {"listening": [{"port": 80, "program": "nginx"}]}, ["port 80 of ssh://lab is nginx's"],
    ),
    "another frontend has the web ports": (
        {"files": {"/etc/haproxy/haproxy.cfg": "frontend x\n    bind *:443\n"}},
        ["a frontend of somebody else's on the port that Grappe's needs: bind *:443 (line 2"],
    ),
    "a damaged part": (
        {"files": {"/etc/ufw/before.rules": document.BEGIN + "\n"}},
        ["the managed part of /etc/ufw/before.rules is damaged"],
    ),
    "no such image": ({"lxd__aliases": {"a": "1", "b": "2"}, "lxd__images": {}}, ["Its aliases: a, b."]),
    "no such profile": ({"lxd__profiles": ["big"]}, ["Its own: big."]),
    "the network is in use": (
        {"subnets": [{"interface": "eth0", "subnet": "10.64.0.1/16"}]},
        ["8 means 10.64.8.0/24, which the host has on eth0."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_in_the_way_is_named(case: str) -> None:
    """Each obstacle, with who holds it or how to mend it; nothing beside it."""
    changes, words = CASES[case]
    found = model.judge(LAB, facts(**changes))
    assert len(words) == len(found), found
    for expected, mistake in zip(words, found, strict=True):
        assert expected in mistake.reason
        assert mistake.key.startswith("grappe:")


def test_a_server_cannot_take_what_its_neighbour_still_has() -> None:
    """The first of two servers was removed: the second would move to its port and domain."""
    held = {"id": "grappe/bob/yuno0_ssh", "owner": "grappe/bob", "keys": ["tcp/22292"]}
    (mistake,) = model.judge(LAB, facts(fragments=[held]))
    assert "22292 is yuno0's, here, until it is gone" in mistake.reason


def test_a_second_default_is_refused() -> None:
    """A host has one default server."""
    import dataclasses

    lab = dataclasses.replace(LAB, default="yuno1")
    held = [{"id": "x", "owner": "grappe/alice", "keys": ["the default backend"]}]
    (mistake,) = model.judge(lab, facts(fragments=held))
    assert "grappe:default" == mistake.key
