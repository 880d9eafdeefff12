"""What is swept, and what never is."""

from __future__ import annotations

import itertools
import pathlib
import threading
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import pytest

from hosts import command, connections
from providers.leftovers import driver
from providers.lxd import client, listing
from tests import fake_hosts as fake

DATA = pathlib.Path(__file__).parent.parent / "contract" / "data"
MINE, THEIRS = {"user.grappe.owner": "grappe/a", "user.grappe.lab": "alicealice01"}, {
    "user.grappe.owner": "grappe/a", "user.grappe.lab": "another00001",
}  # fmt: skip


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> fake.FakeHost:
    """A host with things of three labs, one of them older than ids."""
    (made,) = fake.world(tmp_path, DATA, ["ssh://lab"]).values()
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


def test_a_lab_is_swept_whole_and_alone(host: fake.FakeHost) -> None:
    """In an order in which everything may go."""
    swept = driver.sweep(["ssh://lab"], "ssh://lab", "grappe/a", "alicealice01")
    assert ["container yuno1", "network gr-mine", "project mine"] == swept
    assert {"default", "theirs", "old"} == set(host.lxd.projects)
    assert {("theirs", "yuno1"), ("old", "yuno1")} == set(host.lxd.instances)


def test_without_an_id_nothing_is_swept(host: fake.FakeHost) -> None:
    """Another state may have made what has our name."""
    assert [] == driver.sweep(["ssh://lab"], "ssh://lab", "grappe/b", "")
    assert ("old", "yuno1") in host.lxd.instances


def test_runs_of_a_class_share_a_listing_that_began_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """LXD goes through all instances for each network: nine runs at once ask it twice."""
    began, free, ticks = threading.Event(), threading.Event(), itertools.count()
    read = [0]

    def monotonic() -> int:
        read[0] = next(ticks) + 1
        return read[0]

    class Slow:
        requests = 0

        def get(self, _kind: str, recursion: str) -> list[int]:
            assert recursion == "1"
            self.requests += 1
            number = self.requests
            began.set()
            assert free.wait(10)
            return [number]

    monkeypatch.setattr(listing, "time", SimpleNamespace(monotonic=monotonic))
    lxd: Any = Slow()
    with futures.ThreadPoolExecutor(9) as pool:
        first = pool.submit(listing.get, lxd, "networks")
        assert began.wait(10)
        others = [pool.submit(listing.get, lxd, "networks") for _run in range(8)]
        # All eight have asked: the first request may not show what they made before.
        command.wait_until(lambda: read[0] == 10, what="eight more", timeout=10, pause=0.01)
        free.set()
        assert [1] == first.result()
        assert [[2]] * 8 == [each.result() for each in others]
    assert [3] == listing.get(lxd, "networks")
