"""Sweeping: a destroy removes a lab's leftovers that its state does not know."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from checks.preflight.spec import PreflightSpec
from hosts import connections
from providers.leftovers import driver
from providers.lxd import client, listing
from providers.preflight.resource import SweepingDriver
from tests import fake_hosts as fake

DATA = pathlib.Path(__file__).parent.parent / "contract" / "data"
MINE, THEIRS = {"user.grappe.owner": "grappe/a", "user.grappe.lab": "alicealice01"}, {
    "user.grappe.owner": "grappe/a", "user.grappe.lab": "another00001",
}  # fmt: skip


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> fake.FakeHost:
    """A host with things of three labs, one of them older than ids."""
    (made,) = fake.connected_hosts(tmp_path, DATA, ["ssh://lab"]).values()
    monkeypatch.setattr(connections, "connect", lambda _text: made)
    monkeypatch.setattr(client, "on", lambda _host: made.lxd)
    for name, marks in (
        ("mine", MINE),
        ("theirs", THEIRS),
        ("old", {"user.grappe.owner": "grappe/b"}),
    ):
        made.lxd.projects[name] = {"name": name, "config": dict(marks)}
        made.lxd.networks[f"gr-{name}"] = {"name": f"gr-{name}", "config": dict(marks)}
        made.lxd.instances[name, "yuno1"] = _instance(marks)
    return made


def _instance(marks: dict[str, str]) -> dict[str, Any]:
    return {"name": "yuno1", "config": dict(marks), "status": "Running", "devices": {},
            "ephemeral": False, "location": ""}  # fmt: skip


def test_sweep_removes_everything_of_one_lab_only(host: fake.FakeHost) -> None:
    """Container, network and project, in this order."""
    swept = driver.sweep(["ssh://lab"], "ssh://lab", "grappe/a", "alicealice01")
    assert ["container yuno1", "network gr-mine", "project mine"] == swept
    assert {"default", "theirs", "old"} == set(host.lxd.projects)
    assert {("theirs", "yuno1"), ("old", "yuno1")} == set(host.lxd.instances)


def test_thing_that_another_lab_made_since_stays(host: fake.FakeHost) -> None:
    """`down` lists what it removes, and asks; meanwhile another machine took the lab down."""
    found = driver.find(["ssh://lab"], "ssh://lab", "grappe/a", "alicealice01")
    for thing in (host.lxd.instances["mine", "yuno1"], host.lxd.projects["mine"],
                  host.lxd.networks["gr-mine"]):  # fmt: skip
        thing["config"] = dict(THEIRS)
    for each in found:
        driver.remove(each, "grappe/a", "alicealice01")
    assert ("mine", "yuno1") in host.lxd.instances
    assert ("mine" in host.lxd.projects, "gr-mine" in host.lxd.networks) == (True, True)


def test_without_an_id_nothing_is_swept(host: fake.FakeHost) -> None:
    """Another state may have made what has our name."""
    assert [] == driver.sweep(["ssh://lab"], "ssh://lab", "grappe/b", "")
    assert ("old", "yuno1") in host.lxd.instances


class Daemon:
    """LXD with networks and projects; notes what it is asked."""

    def __init__(self, *networks: str) -> None:
        self.asked: list[str] = []
        self.networks = list(networks)

    def get(self, path: str, recursion: str = "") -> Any:
        self.asked.append(path)
        if path == "networks":
            return [f"/1.0/networks/{name}" for name in self.networks]
        return [path] if recursion else {"name": path.removeprefix("networks/")}


def test_listings_are_separate_by_daemon_and_kind() -> None:
    """Runs of a class share a listing of one kind."""
    first, second = Daemon(), Daemon()
    given: Any = (first, second)
    for lxd in given:
        for kind in ("images", "projects"):
            assert [kind] == listing.get(lxd, kind)
    assert ["images", "projects"] == first.asked == second.asked


def test_a_network_is_read_once() -> None:
    """LXD goes through all instances for each; one that is gone is listed no more."""
    lxd: Any = Daemon("gr-1", "gr-2")
    assert [{"name": "gr-1"}, {"name": "gr-2"}] == listing.get(lxd, "networks")
    lxd.networks = ["gr-2", "gr-3"]
    assert [{"name": "gr-2"}, {"name": "gr-3"}] == listing.get(lxd, "networks")
    read = [path for path in lxd.asked if path != "networks"]
    assert ["networks/gr-1", "networks/gr-2", "networks/gr-3"] == read


def test_another_labs_network_of_an_older_listing_stays(host: fake.FakeHost) -> None:
    """Somebody else has made one of that name since."""
    given: Any = host.lxd
    listing.get(given, "networks")
    host.lxd.networks["gr-mine"]["config"] = dict(THEIRS)
    swept = driver.sweep(["ssh://lab"], "ssh://lab", "grappe/a", "alicealice01")
    assert "network gr-mine" not in swept
    assert "gr-mine" in host.lxd.networks


@pytest.mark.parametrize(
    ("old", "new", "swept"),
    [
        ({"workstation": "ssh://ws"}, {"workstation": "none"}, [("ssh://ws", ("hosts entry",))]),
        ({"workstation": "ssh://ws"}, {"workstation": "ssh://ws"}, []),
        ({"workstation": "ssh://ws"}, {"workstation": "ssh://lab"}, []),
        ({"workstation": "none"}, {"workstation": "ssh://ws"}, []),
        ({"relay": "ssh://relay"}, {}, [("ssh://relay", ("relay grant",))]),
    ],
)
@pytest.mark.usefixtures("host")
def test_machine_that_a_lab_leaves_is_swept_for_its_role(
    monkeypatch: pytest.MonkeyPatch, old: dict[str, str], new: dict[str, str], swept: list[Any]
) -> None:
    """Not the same machine under another URL; and on a lab host that was a workstation, entries."""
    found = []
    monkeypatch.setattr(
        driver,
        "sweep",
        lambda urls, _lab_host, _owner, _lab, words: found.append((*urls, words)) or [],
    )
    before, after = (
        PreflightSpec(host="ssh://lab", owner="grappe/a", name="preflight", lab="alicealice01",
                      number=1, student="a", project="p", bridge="gr-1", subnet="10.64.1.0/24", **each)
        for each in (old, new)
    )  # fmt: skip
    SweepingDriver().update(before, after)
    assert swept == found
