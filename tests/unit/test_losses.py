"""Losses: servers and volumes that a changed stack file would recreate or remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import pytest

from checks import losses
from checks.preflight.spec import PlannedServer, PreflightSpec
from core import codec
from providers.preflight import examination

YUNO1 = PlannedServer(name="yuno1", domain="a.b.test", port=22222, address="10.64.1.10",
                      image="yunohost-13", source="yunohost-12", volumes=("default/data",), snapshots=("exam",))  # fmt: skip
LAB = PreflightSpec(
    host="ssh://lab", owner="grappe/alice", name="preflight", lab="alicealice01", number=1,
    student="alice", project="grappe-alice", bridge="gr-1", subnet="10.64.1.0/24", servers=(YUNO1,),
)  # fmt: skip
MARKS = {"user.grappe.owner": "grappe/alice", "user.grappe.lab": "alicealice01",
         "user.grappe.image": "yunohost-12", "user.grappe.stage": "ready"}  # fmt: skip


def found(
    *, planned: PreflightSpec = LAB, config: dict[str, str] | None = None,
    left: Collection[str] = (), **item: Any,
) -> list[losses.Loss]:  # fmt: skip
    instance = {"name": "yuno1", "ephemeral": False, "location": "none", **item,
                "config": {**MARKS, **(config or {})}}  # fmt: skip
    return losses.find(planned, codec.encode(LAB), [instance], left=left)


def test_server_renamed_by_hand_is_reported() -> None:
    """Not one that is there under its name, nor a copy of it, nor another lab's."""
    was = codec.encode(LAB)

    def said(*names: str, **config: str) -> list[str]:
        items = [{"name": name, "config": {**MARKS, **config}} for name in names]
        return list(losses.renamed(LAB, was, items))

    assert "lxc rename old yuno1 --project grappe-alice" in said("old")[0]
    assert [] == said("yuno1") == said("yuno1", "copy") == said()
    assert [] == said("old", **{"user.grappe.lab": "another12345"})
    assert [] == said("yuno1-published", **{"user.grappe.stage": "creating"})
    item = {"name": "old", "config": MARKS}
    assert [] == list(losses.renamed(LAB, was, [item], "yuno1"))
    assert [] == list(losses.renamed(LAB, {}, [{"name": "old", "config": MARKS}]))


def with_server(**changes: Any) -> PreflightSpec:
    return dataclasses.replace(LAB, servers=(dataclasses.replace(YUNO1, **changes),))


def test_kept_server_is_no_loss() -> None:
    """Also where the alias points to another image by now."""
    assert [] == found()
    assert [] == losses.find(LAB, {}, [])


@pytest.mark.parametrize(
    ("case", "name", "reason", "keep"),
    [
        (dict(planned=with_server(source="yunohost-13")), "yuno1",
         "grappe:image is yunohost-13, and yuno1 was made from yunohost-12",
         "grappe:servers[0].image: yunohost-12"),
        (dict(planned=with_server(ephemeral=True)), "yuno1", "ephemeral is true",
         "grappe:servers[0].ephemeral: false"),
        (dict(planned=with_server(target="m2"), location="m1"), "yuno1", "and it is on m1",
         "grappe:servers[0].target: m1"),
        (dict(planned=dataclasses.replace(LAB, host="ssh://new"), left={"yuno1"}), "yuno1",
         "it was made on ssh://lab", "grappe:host: ssh://lab"),
        (dict(planned=with_server(volumes=())), "yuno1/data", "the volume is no longer in the stack file",
         "one with name: data and pool: default"),
        (dict(planned=with_server(snapshots=("start",))), "yuno1/exam",
         "the snapshot is no longer in the stack file", "snapshots: [exam]"),
        (dict(planned=with_server(ephemeral=True, state="stopped"), ephemeral=True), "yuno1",
         "deleted when it stops", "grappe:servers[0].state: running"),
        (dict(planned=dataclasses.replace(LAB, student="zoe", project="grappe-zoe")), "yuno1",
         "grappe:student is zoe, and it was made for alice", "grappe:student: alice"),
        (dict(config={"user.grappe.stage": "anew"}), "yuno1", "is marked to be recreated", ""),
        (dict(planned=with_server(target="m1"), location="m1"), "yuno1", "it was made with ''",
         "grappe:servers[0].target: ''"),
    ],
)  # fmt: skip
def test_changed_setting_is_a_loss(case: dict[str, Any], name: str, reason: str, keep: str) -> None:
    """The server, why, and the line that keeps it."""
    (loss,) = found(**case)
    assert name == loss.name
    assert reason in loss.reason
    assert keep in loss.keep


@pytest.mark.parametrize(
    "case",
    [dict(planned=dataclasses.replace(LAB, servers=())),
     dict(planned=with_server(source="yunohost-13", volumes=())),
     dict(config={"user.grappe.stage": "anew"}, planned=with_server(volumes=()))],
    ids=["server removed", "another image", "marked"],
)  # fmt: skip
def test_volume_that_goes_with_its_server_is_named(case: dict[str, Any]) -> None:
    """A volume outlives a rebuilt server, so that the permission of a rebuild is not one of its."""
    server, volume = found(**case)
    assert ("yuno1", "yuno1/data") == (server.name, volume.name)
    assert "one with name: data and pool: default" in volume.keep
    if not case["planned"].servers:
        assert "a server with name: yuno1" in server.keep


@pytest.mark.parametrize(
    "config",
    [{"user.grappe.lab": "another00001"}, {"user.grappe.stage": "creating"}],
    ids=["another lab's", "never ready"],
)
def test_unready_or_foreign_server_is_no_loss(config: dict[str, str]) -> None:
    """Another lab's is refused elsewhere; what never became ready holds nothing."""
    assert [] == found(planned=with_server(source="other"), config=config)


@pytest.mark.parametrize(
    ("names", "stopped"), [(None, 0), ("", 1), ("yuno2", 1), ("yuno1", 0), ("yuno2,yuno1", 0)]
)
def test_loss_stops_a_run_unless_permitted(names: str | None, stopped: int) -> None:
    """`./lab up` stops, unless --rebuild names the server; a plain pulumi never does."""
    loss = losses.Loss("yuno1", "because")
    split = losses.permitted([loss], names)
    assert (stopped, 1 - stopped) == tuple(map(len, split))


def test_rebuild_of_a_server_permits_its_volumes() -> None:
    """--rebuild names servers."""
    loss = losses.Loss("yuno1/data", "because")
    assert ([], [loss]) == losses.permitted([loss], "yuno1")
    assert ([], [loss]) == losses.permitted([loss], "yuno1/data")
    assert ([loss], []) == losses.permitted([loss], "yuno1/other")


def test_refusal_of_a_volume_names_the_volume_alone() -> None:
    """What the user is told to type costs no more than what was changed."""
    text = losses.refusal("alice", [losses.Loss("yuno1/data", "because")])
    assert "--rebuild yuno1/data" in text
    assert text.startswith("1 thing would")


def test_refusal_names_each_loss_and_the_way_out() -> None:
    """One line a loss, the word that lets it go, the lines that keep it."""
    text = losses.refusal(
        "alice",
        [losses.Loss("yuno1", "grappe:image is b, and yuno1 was made from a", "grappe:image: a"),
         losses.Loss("yuno2", "is no longer in the stack file")],
    )  # fmt: skip
    assert text == (
        "2 servers would be recreated or removed, with everything in it; nothing was changed\n"
        "  yuno1  grappe:image is b, and yuno1 was made from a\n"
        "  yuno2  is no longer in the stack file\n"
        "  allow it: ./lab up alice --rebuild yuno1 yuno2\n"
        "  or keep yuno1: grappe:image: a"
    )


def test_volume_of_a_removed_server_without_container_is_a_loss() -> None:
    """An ephemeral server has gone, or somebody removed it: its volume is still there."""
    (loss,) = losses.find(dataclasses.replace(LAB, servers=()), codec.encode(LAB), [])
    assert "yuno1/data" == loss.name
    assert "yuno1, with volumes: one with name: data and pool: default" in loss.keep


def test_removed_target_is_a_loss_in_a_cluster_alone() -> None:
    was = codec.encode(with_server(target="m1"))
    item = {"name": "yuno1", "ephemeral": False, "location": "m1", "config": MARKS}
    (loss,) = losses.find(LAB, was, [item])
    assert "grappe:servers[0].target: m1" == loss.keep
    assert [] == losses.find(LAB, was, [{**item, "location": "none"}])


def test_ephemeral_server_that_was_stopped_before_is_no_loss() -> None:
    """One that was created stopped is there, and stays."""
    planned = with_server(ephemeral=True, state="stopped")
    item = {"name": "yuno1", "ephemeral": True, "location": "none", "config": MARKS}
    assert [] == losses.find(planned, codec.encode(planned), [item])
    assert [] == found(planned=with_server(ephemeral=True), ephemeral=True)


def test_changes_in_the_edit_that_takes_a_move_back_are_losses() -> None:
    """What an interrupted move left on the wanted host, and volumes alone on the other one."""
    was = codec.encode(dataclasses.replace(LAB, host="ssh://other"))
    item = {"name": "yuno1", "ephemeral": False, "location": "none", "config": MARKS}
    assert [] == losses.find(LAB, was, [item])
    changed = with_server(source="another")
    assert ["yuno1"] == [each.name for each in losses.find(changed, was, [item])]
    gone = dataclasses.replace(LAB, servers=())
    assert ["yuno1", "yuno1/data"] == [each.name for each in losses.find(gone, was, [item])]
    (volume,) = losses.find(LAB, was, [item], left={"yuno1/data"})
    assert ("yuno1/data", "grappe:host: ssh://other") == (volume.name, volume.keep)


def test_whatever_was_used_counts_as_work() -> None:
    """Also a server that is ordered to be recreated; not one that is being created."""
    stages = ("ready", "anew", "creating", "")
    items = [
        {"name": f"s{number}", "config": {**MARKS, "user.grappe.stage": stage}}
        for number, stage in enumerate(stages)
    ]
    assert {"s0", "s1", "s3"} == losses.used(items, "grappe/alice", "alicealice01")


@pytest.mark.parametrize(
    ("there", "broken", "left"),
    [
        ({"yuno1": "ready"}, "", {"yuno1"}),
        ({"yuno1": "creating"}, "", set()),
        ({}, "", set()),
        ({}, "LXD does not answer", {"yuno1"}),
    ],
)
def test_machine_of_the_last_up_is_asked_what_it_has(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, str], broken: str, left: set[str]
) -> None:
    """What never became a server there is no loss; a machine that cannot tell may have all."""
    items = [
        {"name": name, "config": {**MARKS, "user.grappe.stage": stage}}
        for name, stage in there.items()
    ]
    facts = {"instances": items, "lxd": {"error": broken} if broken else {}}
    monkeypatch.setattr(examination.connections, "connect", lambda url: url)
    monkeypatch.setattr(examination.surveying, "survey_host", lambda *_, **_options: facts)
    monkeypatch.setattr(examination, "_has_volume", lambda host, *_: host == "both")
    was = codec.encode(dataclasses.replace(LAB, host="ssh://old"))
    assert left == examination._left(was, LAB, [], "ssh://lab")  # type: ignore[arg-type]
