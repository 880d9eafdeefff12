"""The plan of a resource, from its recorded, its actual and its wanted spec."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core import codec, errors, run
from hosts import connections
from providers import base, changes
from providers.changes import Reading
from providers.lxd.container.model import ContainerSpec
from providers.lxd.container.resource import ContainerProvider
from providers.lxd.postinstall.model import PostInstallSpec
from providers.lxd.published.resource import PublishedProvider
from providers.lxd.snapshot.resource import SnapshotProvider
from providers.lxd.volume.resource import VolumeProvider

SERVER = ContainerSpec(
    host="ssh://lab", owner="grappe/alice", name="yuno1", project="grappe-alice", image="standin",
    network="gr-1", address="10.64.1.10", lab="alicealice01", incarnation="first",
)  # fmt: skip


def between(
    *,
    was: dict[str, Any] | None = None,
    there: dict[str, Any] | None = None,
    wished: dict[str, Any] | None = None,
    same_machine: bool = True,
    **reading: Any,
) -> changes.Changes:
    """Plan a server whose recorded, actual and wanted specs have these changes."""
    recorded = codec.encode(dataclasses.replace(SERVER, **(was or {})))
    actual = dataclasses.replace(SERVER, **(there or {}))
    wanted = codec.encode(dataclasses.replace(SERVER, **(wished or {})))
    return changes.between(
        ContainerSpec, recorded, Reading(actual, **reading), wanted, same_machine=same_machine
    )


def test_pool_threads_belong_to_the_submitting_run() -> None:
    """They have its `rebuild` and its cancellation."""
    this = run.Run(command="up", rebuild="yuno1")
    with run.entered(this), run.Pool() as pool:
        assert "yuno1" == pool.submit(run.rebuild).result()
        assert [this] == list(pool.map(lambda _number: run.current(), [1]))
        this.cancelled.set()
        with pytest.raises(errors.CancelledError):
            pool.submit(run.raise_if_cancelled).result()


def test_plan_of_an_unchanged_resource_is_empty() -> None:
    """No field, no replacement, no drift."""
    found = between()
    assert not found
    assert changes.Changes(frozenset()) == found


@pytest.mark.parametrize(
    ("case", "fields", "replaces", "drift"),
    [
        (dict(wished={"limits": {"memory": "1GiB"}}), {"limits"}, set(), ()),
        (dict(wished={"image": "other"}), {"image"}, {"image"}, ()),
        (dict(wished={"generation": "2"}), {"generation"}, {"generation"}, ()),
        (dict(wished={"host": "ssh://same"}), {"host"}, set(), ()),
        (dict(wished={"host": "ssh://new"}, same_machine=False), {"host"}, {"host"}, ()),
        (dict(there={"state": "stopped"}), {"state", "drift"}, set(),
         ('state is "stopped", not "running"',)),
        (dict(there={"limits": {"memory": "2GiB"}}, wished={"limits": {"memory": "2GiB"}}),
         {"drift"}, set(), ('limits.memory is "2GiB", and was not set',)),
        (dict(drift="it never became ready"), {"drift"}, set(), ("it never became ready",)),
        (dict(remake="it is marked so"), {"generation"}, {"generation"}, ()),
        (dict(there={"incarnation": "second"}), {"drift"}, set(),
         ("another run, with another state, has taken it over",)),
        # A lab that got its id, or another name, goes on where it is.
        (dict(was={"lab": ""}, there={"lab": ""}), {"lab"}, set(), ()),
        (dict(was={"lab": ""}), {"lab"}, set(), ()),
        (dict(wished={"owner": "grappe/bob"}), {"owner"}, set(), ()),
        (dict(was={"lab": ""}, there={"lab": ""}, wished={"lab": "", "owner": "grappe/bob"}),
         {"owner"}, {"owner"}, ()),
    ],
)  # fmt: skip
def test_plan_of_a_single_difference(
    case: dict[str, Any], fields: set[str], replaces: set[str], drift: tuple[str, ...]
) -> None:
    """Each difference by itself."""
    found = between(**case)
    assert (fields, replaces, drift) == (set(found.fields), set(found.replaces), found.drift)


def test_plan_recreates_a_missing_resource() -> None:
    """Its drift is "it is missing"."""
    wanted = codec.encode(SERVER)
    found = changes.between(ContainerSpec, wanted, None, wanted, same_machine=True)
    assert ({"name"}, ("it is missing",)) == (set(found.replaces), found.drift)
    assert found


def test_a_secret_that_drifted_is_not_shown() -> None:
    """Only that it was changed."""
    spec = PostInstallSpec(
        host="ssh://lab", owner="grappe/alice", name="yuno1", project="p", container="yuno1",
        domain="a.test", login="alice", password="Marked-4711",
    )  # fmt: skip
    reading = Reading(dataclasses.replace(spec, password="Marked-4712"))
    wanted = codec.encode(spec)
    found = changes.between(PostInstallSpec, wanted, reading, wanted, same_machine=True)
    assert ("password was changed",) == found.drift


def test_state_of_an_older_grappe_plans_no_change() -> None:
    """Fields that were added since have their defaults."""
    recorded = {
        key: value
        for key, value in codec.encode(dataclasses.replace(SERVER, lab="", incarnation="")).items()
        if key not in {"disk", "pool", "adopt", "lab", "incarnation"}
    }
    actual = Reading(dataclasses.replace(SERVER, lab="", incarnation=""))
    wanted = codec.encode(dataclasses.replace(SERVER, lab="", incarnation=""))
    assert not changes.between(ContainerSpec, recorded, actual, wanted, same_machine=True)


class FakeDriver:
    """A driver that records its calls."""

    def __init__(self, there: Reading[ContainerSpec] | None) -> None:
        self.there, self.done = there, list[str]()

    def create(self, spec: ContainerSpec) -> dict[str, Any]:
        """Note it."""
        self.done.append(f"create {spec.incarnation}")
        self.created = spec
        return {"container_id": "1"}

    def read(self, spec: ContainerSpec) -> Reading[ContainerSpec] | None:
        """Return what is there."""
        if self.there and self.there.spec.lab and spec.lab != self.there.spec.lab:
            raise errors.NotOursError("another's")
        return self.there

    def update(self, old: ContainerSpec, new: ContainerSpec) -> dict[str, Any]:
        """Note it."""
        self.done.append(f"update {new.incarnation}")
        self.updated = new
        return {}

    def delete(self, spec: ContainerSpec) -> None:
        """Note it."""
        self.done.append("delete")

    def sweep(self, spec: ContainerSpec) -> list[str]:
        """Note it."""
        self.done.append("sweep")
        return ["container yuno2"]

    def leave(self, spec: ContainerSpec) -> list[str]:
        """Note the call."""
        del spec
        self.done.append("leave")
        return []


class Machine:
    """A host that is only its ids."""

    def __init__(self, machine_id: str, boot_id: str) -> None:
        self.machine_id, self.boot_id = machine_id, boot_id


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A provider with a recording driver; `ssh://other` and `ssh://clone` are other machines."""
    monkeypatch.setattr(run, "_own", run.Run())
    boots = {"ssh://other": ("m2", "b2"), "ssh://clone": ("m1", "b3")}
    monkeypatch.setattr(
        connections, "connect", lambda text: Machine(*boots.get(text, ("m1", "b1")))
    )

    class Provider(base.Provider[ContainerSpec]):
        spec = ContainerSpec
        fake = FakeDriver(Reading(SERVER))

        def driver(self, host: Any) -> Any:
            del host
            return self.fake

    return Provider()


STATE = {**codec.encode(SERVER), "machine_id": "m1", "drift": ""}
INPUTS = {key: value for key, value in codec.encode(SERVER).items() if key != "incarnation"}


def test_diff_reads_the_host_and_prints_the_drift(
    provider: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints the drift."""
    provider.fake.there = Reading(dataclasses.replace(SERVER, state="stopped"))
    found = provider.diff("x", STATE, INPUTS)
    assert (True, []) == (found.changes, found.replaces)
    assert 'has drifted: state is "stopped", not "running"' in capsys.readouterr().out


def test_diff_of_a_missing_resource_is_a_replacement(provider: Any) -> None:
    """Deleted first, because the new one needs its name."""
    provider.fake.there = None
    found = provider.diff("x", STATE, INPUTS)
    assert (["name"], True) == (found.replaces, found.delete_before_replace)


def test_move_creates_before_it_deletes(provider: Any) -> None:
    """On another machine nothing is in the way; the same machine under a new URL is an update."""
    found = provider.diff("x", STATE, {**INPUTS, "host": "ssh://other"})
    assert (["host"], False) == (found.replaces, found.delete_before_replace)
    found = provider.diff("x", STATE, {**INPUTS, "host": "ssh://same"})
    assert ([], True) == (found.replaces, found.changes)


def test_a_clone_is_another_machine(provider: Any) -> None:
    """It has the machine-id of the template that both were made from, and a boot of its own."""
    found = provider.diff("x", STATE, {**INPUTS, "host": "ssh://clone"})
    assert (["host"], False) == (found.replaces, found.delete_before_replace)


def test_each_create_is_another_incarnation(provider: Any) -> None:
    """A create writes a new one into the state; an update keeps it."""
    made = [provider.create(INPUTS).outs["incarnation"] for _turn in range(2)]
    assert made[0] != made[1]
    assert all(len(text) == 12 for text in made)
    assert "first" == provider.update("x", STATE, INPUTS).outs["incarnation"]


def test_an_update_of_an_older_state_gives_an_incarnation(provider: Any) -> None:
    """So that a later replacement can be told from it."""
    old = {key: value for key, value in STATE.items() if key != "incarnation"}
    assert len(provider.update("x", old, INPUTS).outs["incarnation"]) == 12


@pytest.mark.parametrize(
    ("there", "state", "expected"),
    [
        ("first", STATE, ["delete"]),
        ("second", STATE, []),
        ("", STATE, ["delete"]),
        ("second", {**STATE, "lab": "", "incarnation": ""}, []),
    ],
    ids=["its own", "taken over since", "older than incarnations", "of a state without an id"],
)
def test_delete_in_an_up_keeps_other_incarnations(
    provider: Any, there: str, state: dict[str, Any], expected: list[str]
) -> None:
    """A replacement has taken the object over, so it stays."""
    provider.check({}, INPUTS)
    provider.fake.there = Reading(dataclasses.replace(SERVER, incarnation=there))
    provider.delete("x", state)
    assert expected == provider.fake.done


def test_step_that_this_run_wants_is_not_undone(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pulumi state rename` creates it under its new name, and deletes the old one: now or later."""
    monkeypatch.setattr(type(SERVER), "MARKED", False)
    provider.check({}, INPUTS)
    provider.delete("x", STATE)
    assert [] == provider.fake.done
    run.current().wanted.clear()
    provider.delete("x", STATE)
    assert ["delete"] == provider.fake.done


def test_move_keeps_work_until_the_lab_is_up_elsewhere(provider: Any) -> None:
    """The container stays; everything else goes, and leftovers before it."""
    provider.check({}, INPUTS)
    run.current().homes[SERVER.owner] = ("m2", "b2")
    try:
        provider.delete("x", STATE)
        assert ["leave", "delete"] == provider.fake.done
        provider.HOLDS_WORK = True
        provider.delete("x", STATE)
        assert ["leave", "delete"] == provider.fake.done
    finally:
        run.current().homes.clear()


def test_servers_snapshots_and_images_hold_work() -> None:
    """A move that fails, and goes back, finds them all."""
    holders = [
        kind for kind in (ContainerProvider, SnapshotProvider, PublishedProvider, VolumeProvider)
        if kind.HOLDS_WORK
    ]  # fmt: skip
    # The engine deletes volumes at the end by itself: nothing replaces them before.
    assert [ContainerProvider, SnapshotProvider, PublishedProvider] == holders


def test_destroy_sweeps_and_deletes_other_incarnations(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what another run took over, and what no state knows."""
    monkeypatch.setattr(run, "command", lambda: "destroy")
    provider.fake.there = Reading(dataclasses.replace(SERVER, incarnation="second"))
    provider.delete("x", STATE)
    assert ["sweep", "delete"] == provider.fake.done


def test_destroy_empties_what_a_leftover_holds(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If LXD refuses a delete, a destroy empties the object and tries again; an `up` does not."""
    fake = provider.fake
    tries: list[str] = []

    def delete(_spec: ContainerSpec) -> None:
        tries.append("delete")
        if "empty" not in tries:
            raise errors.DaemonError("in use")

    monkeypatch.setattr(fake, "delete", delete)
    monkeypatch.setattr(fake, "empty", lambda _spec: tries.append("empty") or ["a"], raising=False)
    with pytest.raises(errors.DaemonError, match="in use"):
        provider.delete("x", STATE)
    monkeypatch.setattr(run, "command", lambda: "destroy")
    provider.delete("x", STATE)
    assert ["delete", "delete", "empty", "delete"] == tries


def test_only_a_destroy_sweeps(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only before any check, or a sweep in an `up` would delete the lab."""
    provider.delete("x", STATE)
    monkeypatch.setattr(run, "command", lambda: "destroy")
    provider.check({}, INPUTS)
    provider.delete("x", STATE)
    assert ["delete", "delete"] == provider.fake.done
    run.current().checked.clear()
    # As with --target: what is not named, stays.
    monkeypatch.setattr(run, "command", lambda: "destroy of a part")
    provider.delete("x", STATE)
    assert ["delete", "delete", "delete"] == provider.fake.done


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("pulumi destroy --yes", "destroy"),
        ("pulumi -C /down destroy", "destroy"),
        ("pulumi --color never down -s up", "destroy"),
        ("pulumi up -s destroy", "up"),
        ("pulumi --cwd=/x up", "up"),
        ("pulumi destroy --yes --target urn:x", "destroy of a part"),
        ("pulumi destroy -turn:x", "destroy of a part"),
        ("pulumi destroy -yt urn:x", "destroy of a part"),
        ("pulumi destroy -y -stest", "destroy"),
        ("pulumi destroy --exclude=urn:x", "destroy of a part"),
        ("pulumi destroy --yes -s target", "destroy"),
        ("pulumi", ""),
    ],
)
def test_engine_command_is_read_from_argv(argv: str, expected: str) -> None:
    """Also behind options, and with stacks that are named like a command."""
    assert expected == run.parse(argv.split())


def test_another_machine_under_the_url_is_an_error(provider: Any) -> None:
    """Its answers say nothing about the recorded machine."""
    with pytest.raises(errors.HostError, match="is another machine"):
        provider.diff("x", {**STATE, "machine_id": "m9"}, INPUTS)


def test_state_without_an_id_belongs_to_the_configured_lab(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read and delete use the id of the stack's configuration."""
    monkeypatch.setattr(run, "command", lambda: "destroy")
    run.current().lab = "alicealice01"
    provider.delete("x", {**STATE, "lab": ""})
    assert ["sweep", "delete"] == provider.fake.done
    assert "alicealice01" == provider.read("x", {**STATE, "lab": ""}).outs["lab"]
