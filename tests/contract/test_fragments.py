"""What every kind of shared file keeps to, on a host in a folder and on the sandbox's."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
from collections.abc import Iterator

import pytest

from core import errors
from remote import managed_block, maps, running_haproxy
from remote import store as stores
from remote.targets import haproxy as haproxy_target
from tests.contract import fragment_world
from tests.contract.fragment_world import KINDS, OWNER, STRANGER, Kind, World


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def world(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[World]:
    """A host with the files that its packages brought."""
    if request.param == "fake":
        made: World = fragment_world.FakeWorld(tmp_path / "host")
    else:
        made = fragment_world.RealWorld(request.getfixturevalue("lab_host"))
    with fragment_world.clean(made):
        yield made


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of fragment."""
    return KINDS[request.param]


def fragment_file(kind: Kind, name: str = "yuno1") -> str:
    return f"/var/lib/grappe/{kind.folder}/fragments/{OWNER.replace('/', '+')}+{name}.json"


def test_fragment_is_created_read_updated_and_deleted(world: World, kind: Kind) -> None:
    """Put, read as put, put again for nothing, changed, removed twice."""
    driver, spec = world.driver(kind), kind.make(world.url)
    assert driver.read(spec) is None
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    text = world.read(kind.file)
    driver.create(spec)
    assert text == world.read(kind.file)

    changed = kind.make(world.url, **kind.changed)
    driver.update(spec, changed)
    assert (changed, "") == (driver.read(changed).spec, driver.read(changed).drift)

    driver.delete(changed)
    assert driver.read(changed) is None
    driver.delete(changed)


def test_last_fragment_removes_every_file(world: World, kind: Kind) -> None:
    """Files byte for byte with mode and owner, and what is live, are as before the first."""
    before = (world.read(kind.file), world.stat(kind.file), world.live())
    driver = world.driver(kind)
    one = kind.make(world.url)
    driver.create(one)
    assert before[0] != world.read(kind.file)
    driver.delete(one)
    assert before == (world.read(kind.file), world.stat(kind.file), world.live())
    assert not world.exists("/var/lib/grappe")


def test_text_around_the_managed_part_stays(world: World, kind: Kind) -> None:
    """What somebody writes outside the managed part survives every change, and the end."""
    driver, spec = world.driver(kind), kind.make(world.url)
    original = world.read(kind.file)
    driver.create(spec)
    world.write(kind.file, world.read(kind.file) + "# a line of somebody's\n")
    driver.update(spec, kind.make(world.url, **kind.changed))
    assert world.read(kind.file).endswith("# END GRAPPE\n# a line of somebody's\n")
    driver.delete(spec)
    left = world.read(kind.file)
    assert original.rstrip("\n") + "\n# a line of somebody's\n" in (
        left,
        left.replace("r#", "r\n#"),
    )
    world.write(kind.file, original)


def test_drift_of_the_file_is_read_and_repaired(world: World, kind: Kind) -> None:
    """A managed part that was edited or removed is drift, and comes back."""
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    good, lines = world.read(kind.file), kind.lines or kind.file
    address = kind.sample.get("target_address") or kind.sample["address"]
    edited = world.read(lines).replace(address, "10.99.99.99")
    head, _, rest = good.partition("# BEGIN GRAPPE")
    without = head + rest.partition("# END GRAPPE\n")[2]
    for file, bad in ((lines, edited), (kind.file, without)):
        world.write(file, bad)
        assert "changed by hand" in driver.read(spec).drift
        driver.update(spec, spec)
        assert "" == driver.read(spec).drift
        # What the part remembers of the file's end is lost with the part.
        assert good.replace(" [newline added]", "") == world.read(kind.file).replace(
            " [newline added]", ""
        )


@pytest.mark.parametrize("kind", ["haproxy", "nat"], indirect=True)
def test_drift_of_loaded_rules_is_read_and_repaired(world: World, kind: Kind) -> None:
    """What the kernel or the daemon has lost is drift, though the file is right."""
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    world.unload(kind)
    assert driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift


def test_fragment_removed_or_edited_by_hand_is_drift(world: World, kind: Kind) -> None:
    """Removed it is gone, and create brings it back; edited it reads as it is."""
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    world.remove(fragment_file(kind))
    assert driver.read(spec) is None
    driver.create(spec)
    assert "" == driver.read(spec).drift

    fragment = json.loads(world.read(fragment_file(kind)))
    field, value = next(iter(kind.changed.items()))
    fragment["spec"][field] = value
    world.write(fragment_file(kind), json.dumps(fragment))
    assert value == getattr(driver.read(spec).spec, field)
    driver.update(driver.read(spec).spec, spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)


def test_claims_of_one_request_are_judged_each_by_itself(world: World, kind: Kind) -> None:
    """One edited by hand, one as it was, one that is gone, and another lab's."""
    driver, field = world.driver(kind), "port" if kind.folder == "nat" else "domains"
    values = [62301, 62302] if field == "port" else [("b.contract.test",), ("c.contract.test",)]
    first = kind.make(world.url)
    second = kind.make(world.url, "yuno2", **{field: values[0]})
    theirs = kind.make(world.url, "yuno3", STRANGER, **{field: values[1]})
    for spec in (first, second, theirs):
        driver.create(spec)
    by_hand = kind.render(kind.make(world.url, **kind.changed)).as_json()
    world.write(fragment_file(kind), json.dumps(by_hand))
    absent = kind.make(world.url, "yuno4")
    claims = [
        {"id": spec.id, "owner": OWNER, "lab": ""} for spec in (first, second, absent, theirs)
    ]
    edited, whole, gone, refused = driver._store.send_claims(claims)
    assert "changed by hand" in edited["drift"]
    assert ("yuno2", "") == (whole["fragment"]["spec"]["name"], whole["drift"])
    assert {"fragment": None} == gone
    assert not refused["ok"]
    assert "was left alone" in refused["brief"]
    for spec in (first, second, theirs):
        driver.delete(spec)


def test_key_of_another_lab_is_refused(world: World, kind: Kind) -> None:
    """The second is refused with the holder's name, and the first stays as it is."""
    driver = world.driver(kind)
    driver.create(kind.make(world.url))
    text = world.read(kind.file)
    with pytest.raises(errors.DaemonError) as failure:
        driver.create(kind.make(world.url, "yuno2", STRANGER))
    assert f"{kind.key} is taken" in str(failure.value)
    assert f"(stack {OWNER})" in str(failure.value)
    assert text == world.read(kind.file)


def test_damaged_managed_part_is_a_clear_error(world: World, kind: Kind) -> None:
    """Without its last line nothing is read from it, nothing changed, and the way out is said."""
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    good = world.read(kind.file)
    damaged = good.replace("# END GRAPPE\n", "")
    world.write(kind.file, damaged)
    for action in (driver.read, driver.create, driver.delete):
        with pytest.raises(errors.DaemonError, match="is damaged, nothing was changed") as failure:
            action(spec)
        assert "put its first and last line back" in str(failure.value)
    assert damaged == world.read(kind.file)
    world.write(kind.file, good)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is damaged"),
        ("{}", "is damaged"),
        ("1,2", "is damaged"),
        ('{"format": 99, "id": "grappe/alice/yuno1"}', "was written by a newer Grappe"),
    ],
)
def test_unreadable_fragment_is_a_clear_error(
    world: World, kind: Kind, text: str, words: str
) -> None:
    """The file is named, nothing is read or changed, and the way out is said."""
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    good, shared = world.read(fragment_file(kind)), world.read(kind.file)
    world.write(fragment_file(kind), text)
    for action in (driver.read, driver.create, driver.delete):
        with pytest.raises(errors.DaemonError, match=words) as failure:
            action(spec)
        assert "do: " in str(failure.value)
        assert words != "is damaged" or fragment_file(kind) in str(failure.value)
    assert shared == world.read(kind.file)
    world.write(fragment_file(kind), good)


def test_waiting_changes_are_committed_together(world: World, kind: Kind) -> None:
    """Twelve at the same time all arrive; one that cannot be is set aside for itself alone."""
    driver = world.driver(kind)
    fields = ("port",) if kind.folder == "nat" else ("domains",)

    def spec(place: int) -> object:
        value = 62300 + place if fields == ("port",) else (f"many{place}.contract.test",)
        return kind.make(world.url, f"many{place}", **{fields[0]: value})

    clash = kind.make(world.url, "yuno2", **{fields[0]: getattr(spec(0), fields[0])})
    driver.create(spec(0))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        bad = pool.submit(driver.create, clash)
        list(pool.map(driver.create, [spec(place) for place in range(1, 12)]))
        with pytest.raises(errors.DaemonError, match="is taken"):
            bad.result()
    for place in range(12):
        assert "" == driver.read(spec(place)).drift
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(driver.delete, [spec(place) for place in range(12)]))
    assert not world.exists("/var/lib/grappe")


class TestNat:
    """What NAT rules alone need."""

    kind = KINDS["nat"]

    def test_added_rule_leaves_other_rules_loaded(self, world: World) -> None:
        """It is added to the chain and taken out of it; nothing else is loaded again."""
        driver = world.driver(self.kind)
        one, two = (self.kind.make(world.url, f"yuno{n}", port=62220 + n) for n in (1, 2))
        driver.create(two)
        driver.create(one)
        ports = [line.split("--dport ")[1].split()[0] for line in world.forwards()]
        assert ["62222", "62221"] == ports
        assert ["", ""] == [driver.read(spec).drift for spec in (one, two)]
        driver.delete(two)
        assert 1 == len(world.forwards())
        assert "" == driver.read(one).drift

    def test_added_rule_restores_lost_rules(self, world: World) -> None:
        """Where the chain is not what it should be, all of it is loaded."""
        driver = world.driver(self.kind)
        one, two = (self.kind.make(world.url, f"yuno{n}", port=62220 + n) for n in (1, 2))
        driver.create(one)
        world.unload(self.kind)
        driver.create(two)
        assert ["", ""] == [driver.read(spec).drift for spec in (one, two)]
        world.unload(self.kind)
        driver.delete(one)
        assert "" == driver.read(two).drift


class TestHaproxy:
    """What HAProxy alone needs."""

    kind = KINDS["haproxy"]

    def test_configuration_invalid_before_us_is_blamed_on_it(self, world: World) -> None:
        """It says so, with HAProxy's own line, and changes nothing."""
        original = world.read(self.kind.file)
        world.write(self.kind.file, original + "nonsense here\n")
        with pytest.raises(errors.DaemonError) as failure:
            world.driver(self.kind).create(self.kind.make(world.url))
        assert "it was invalid before Grappe" in str(failure.value)
        assert "unknown keyword" in str(failure.value)
        assert not world.exists("/var/lib/grappe")
        assert original + "nonsense here\n" == world.read(self.kind.file)
        world.write(self.kind.file, original)

    def test_accepted_text_around_our_part_is_noted(self, world: World) -> None:
        """For the preflight, which asks of nothing else."""
        world.driver(self.kind).create(self.kind.make(world.url))
        split = managed_block.split(world.read(self.kind.file))
        assert split.before + split.after == world.read(haproxy_target.LOADED)

    def test_second_default_server_of_a_host_is_refused(self, world: World) -> None:
        """A second default is refused, with the first one's owner."""
        driver = world.driver(self.kind)
        driver.create(self.kind.make(world.url, default=True))
        second = self.kind.make(world.url, "yuno2", domains=("b.contract.test",), default=True)
        with pytest.raises(errors.DaemonError, match="the default backend is taken"):
            driver.create(second)

    def test_added_or_removed_backend_needs_no_reload(self, world: World) -> None:
        """The part is the same, and the maps are changed while HAProxy runs."""
        driver = world.driver(self.kind)
        one = self.kind.make(world.url)
        two = self.kind.make(world.url, "yuno2", domains=("b.contract.test",))
        driver.create(one)
        before = (world.worker(), world.read(self.kind.file))
        driver.create(two)
        assert "b.contract.test 10.79.159.10" in world.tell(f"show map {maps.ROUTES}")
        driver.update(two, dataclasses.replace(two, state="stopped", address="10.79.159.12"))
        assert "b.contract.test 10.79.159.12" in world.tell(f"show map {maps.ROUTES}")
        assert "b.contract.test stopped" in world.tell(f"show map {maps.STATES}")
        driver.delete(two)
        assert "b.contract.test" not in world.tell(f"show map {maps.ROUTES}")
        assert before == (world.worker(), world.read(self.kind.file))
        assert "" == driver.read(one).drift

    @pytest.mark.parametrize(
        "command",
        [f"set map {maps.ROUTES} yuno1.contract.test 10.99.99.99",
         f"del map {maps.STATES} yuno1.contract.test",
         f"add map {maps.ROUTES} stray.contract.test 10.99.99.99"],
    )  # fmt: skip
    def test_map_changed_at_run_time_is_drift(self, world: World, command: str) -> None:
        """Though the file is right; it is mended without a reload."""
        driver, spec = world.driver(self.kind), self.kind.make(world.url)
        driver.create(spec)
        worker = world.worker()
        world.tell(command)
        assert "changed while it runs" in driver.read(spec).drift
        driver.update(spec, spec)
        assert "" == driver.read(spec).drift
        assert worker == world.worker()

    def test_unusable_socket_causes_a_reload(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As the last way, and it is said."""
        driver = world.driver(self.kind)
        driver.create(self.kind.make(world.url))
        worker = world.worker()
        world.mute()
        try:
            driver.create(self.kind.make(world.url, "yuno2", domains=("b.contract.test",)))
        finally:
            world.unmute()
        assert worker != world.worker()
        assert "reloaded HAProxy: its run-time socket is unusable" in capsys.readouterr().out
        assert "b.contract.test 10.79.159.10" in world.tell(f"show map {maps.ROUTES}")

    @pytest.mark.sandbox
    def test_other_sockets_replace_a_missing_one_of_ours(
        self, request: pytest.FixtureRequest
    ) -> None:
        """Removed, it comes back with no reload: then its admin socket does, or the master's."""
        world = fragment_world.RealWorld(request.getfixturevalue("lab_host"))
        with fragment_world.clean(world):
            driver = world.driver(self.kind)
            driver.create(self.kind.make(world.url))
            worker = world.worker()
            world.run("rm", *fragment_world.SOCKETS[:2])
            two = self.kind.make(world.url, "yuno2", domains=("b.contract.test",))
            driver.create(two)
            assert "" == driver.read(two).drift
            assert worker == world.worker()
            world.run("systemctl", "restart", "haproxy")

    def test_parent_of_anothers_domain_is_refused(self, world: World) -> None:
        """Either way round; one's own is well."""
        driver = world.driver(self.kind)
        driver.create(self.kind.make(world.url))
        driver.create(self.kind.make(world.url, "yuno2", domains=("www.yuno1.contract.test",)))
        for domain in ("contract.test", "wiki.yuno1.contract.test"):
            with pytest.raises(errors.DaemonError, match="are a domain and its sub-domain"):
                driver.create(self.kind.make(world.url, "x", STRANGER, domains=(domain,)))

    def test_reload_without_effect_is_rolled_back(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old files come back when the new ones are not what is loaded."""
        monkeypatch.setattr(running_haproxy, "RELOAD_SECONDS", 0.1)
        world = fragment_world.FakeWorld(tmp_path / "host")
        driver, original = world.driver(self.kind), world.read(self.kind.file)
        world.system.stuck = True
        with pytest.raises(errors.DaemonError, match="did not take the new configuration"):
            driver.create(self.kind.make(world.url))
        assert original == world.read(self.kind.file)
        assert not world.exists("/var/lib/grappe")
        world.system.stuck = False
        driver.create(self.kind.make(world.url))
        good = world.read(maps.ROUTES)
        world.system.stuck = world.system.mute = True
        with pytest.raises(errors.DaemonError, match="did not take the new configuration"):
            driver.create(self.kind.make(world.url, "yuno2", domains=("b.contract.test",)))
        assert good == world.read(maps.ROUTES)
        world.system.stuck = world.system.mute = False
        assert "" == driver.read(self.kind.make(world.url)).drift

    def test_group_commit_reloads_once(self, tmp_path: pathlib.Path) -> None:
        """Twelve changes that arrive together cost the one of the first."""
        world = fragment_world.FakeWorld(tmp_path / "host")
        driver = world.driver(self.kind)
        specs = [
            self.kind.make(world.url, f"many{n}", domains=(f"many{n}.contract.test",))
            for n in range(12)
        ]
        world.system.pause = 0.3
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(driver.create, specs))
        assert world.system.reloads == 1
        assert all(not driver.read(spec).drift for spec in specs)


def test_held_lock_does_not_read_as_missing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another change hangs, read and delete raise and say who to look for."""
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.1)
    world = fragment_world.FakeWorld(tmp_path / "host")
    kind = KINDS["nat"]
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    store = stores.Store(world.system, "/var/lib/grappe/nat")
    with store.lock():
        for action in (driver.read, driver.delete, driver.create):
            with pytest.raises(errors.DaemonError, match="lock is held for more than"):
                action(spec)
    assert "" == driver.read(spec).drift
    # What was told as failed is not done later.
    assert [] == list((tmp_path / "host/var/lib/grappe/nat/queue").iterdir())


def test_symbolic_link_is_refused(tmp_path: pathlib.Path) -> None:
    """A shared file that is a link is refused; neither the link nor what it leads to changes."""
    world = fragment_world.FakeWorld(tmp_path / "host")
    for kind in KINDS.values():
        real = tmp_path / "host" / kind.file[1:]
        kept = real.with_suffix(".real")
        text = real.read_text()
        real.rename(kept)
        real.symlink_to(kept)
        with pytest.raises(errors.DaemonError, match="is a symbolic link, and was left alone"):
            world.driver(kind).create(kind.make(world.url))
        assert real.is_symlink()
        assert text == kept.read_text()


def test_half_written_fragment_is_ignored(tmp_path: pathlib.Path) -> None:
    """A temporary file that a killed process left in the store is no fragment."""
    world = fragment_world.FakeWorld(tmp_path / "host")
    kind = KINDS["nat"]
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    folder = tmp_path / "host/var/lib/grappe/nat/fragments"
    (folder / ".x.json.grappe-1").write_text("half a fragm")
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    assert not world.exists("/var/lib/grappe")


def test_inactive_before_init_stays_inactive(tmp_path: pathlib.Path) -> None:
    """Only our part of a script that was not executable runs; an executable one runs whole."""
    world = fragment_world.FakeWorld(tmp_path / "host")
    kind, init = KINDS["nat"], tmp_path / "host/etc/ufw/before.init"
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    assert "exit 0\n# END GRAPPE" in init.read_text()
    driver.delete(spec)
    init.chmod(0o750)
    driver.create(spec)
    assert "exit 0\n# END GRAPPE" not in init.read_text()


def test_leftovers_of_killed_transactions_are_swept(tmp_path: pathlib.Path) -> None:
    """A staged file and a dead process's place in the queue do not outlive the next change."""
    world = fragment_world.FakeWorld(tmp_path / "host")
    kind = KINDS["hosts"]
    driver, spec = world.driver(kind), kind.make(world.url)
    before = sorted(path.name for path in (tmp_path / "host/etc").iterdir())
    driver.create(spec)
    (tmp_path / "host/etc/.hosts.grappe-999999").write_text("half a file")
    queue = tmp_path / "host/var/lib/grappe/hosts/queue"
    change = {"op": "put", "fragment": {}}
    for end in (".change", ".result", ".new"):
        (queue / f"1-999999-1-abc{end}").write_text(json.dumps(change))
    driver.delete(spec)
    assert before == sorted(path.name for path in (tmp_path / "host/etc").iterdir())
    assert not world.exists("/var/lib/grappe")


class TestOwnership:
    """A fragment is its lab's, whatever the lab is called."""

    def test_another_lab_of_the_same_name_is_refused(self, world: World, kind: Kind) -> None:
        """To put, read or remove; the way out has the id."""
        driver = world.driver(kind)
        mine = kind.make(world.url, lab="alicealice01")
        theirs = kind.make(world.url, lab="another00001")
        driver.create(mine)
        for action in (driver.create, driver.read, driver.delete):
            with pytest.raises(errors.DaemonError, match="grappe:id: alicealice01"):
                action(theirs)
        assert mine == driver.read(mine).spec

    def test_renamed_lab_keeps_its_fragment(self, world: World, kind: Kind) -> None:
        """Under the new name alone; what had no id yet is the owner's."""
        driver = world.driver(kind)
        driver.create(kind.make(world.url))
        old = kind.make(world.url, lab="alicealice01")
        driver.create(old)
        new = kind.make(world.url, owner="grappe/renamed", lab="alicealice01")
        assert old == driver.read(new).spec
        driver.update(old, new)
        assert (new, "") == (driver.read(new).spec, driver.read(new).drift)
        assert not world.exists(fragment_file(kind))
        driver.delete(new)
        assert driver.read(new) is None


def test_unchangeable_file_is_reported_with_a_remedy(
    world: World, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which, why, and what to look at; nothing is half changed."""
    before = world.read(kind.file)

    def refuse(path: str, *_rest: object) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    if isinstance(world, fragment_world.FakeWorld):
        monkeypatch.setattr(world.system, "swap", refuse)
    else:
        world.run("chattr", "+i", kind.file)
    try:
        with pytest.raises(errors.DaemonError, match="could not be changed") as found:
            world.driver(kind).create(kind.make(world.url))
    finally:
        if not isinstance(world, fragment_world.FakeWorld):
            world.run("chattr", "-i", kind.file)
    assert "Operation not permitted" in found.value.seen
    assert "lsattr /" in found.value.do
    assert before == world.read(kind.file)


def test_ipv6_at_a_bridge_is_drift_without_our_rules(tmp_path: pathlib.Path) -> None:
    """Somebody switched it on, and a flush took the rules; an update loads them again."""
    kind, world = KINDS["nat"], fragment_world.FakeWorld(tmp_path / "host")
    driver, spec = world.driver(kind), kind.make(world.url)
    driver.create(spec)
    switch = tmp_path / "host/proc/sys/net/ipv6/conf/gr-7/disable_ipv6"
    switch.parent.mkdir(parents=True)
    switch.write_text("0\n")
    assert "" == driver.read(spec).drift
    world.system.rules6.clear()
    assert "IPv6 is on at gr-7" in driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    assert [] == world.system.rules6


@pytest.mark.parametrize("running", [True, False])
def test_haproxy_that_does_not_start_is_told_with_its_reason(
    tmp_path: pathlib.Path, running: bool
) -> None:
    """Systemd says only that it failed; the journal has HAProxy's own words."""
    kind, world = KINDS["haproxy"], fragment_world.FakeWorld(tmp_path / "host")
    before = world.read("/etc/haproxy/haproxy.cfg")
    world.system.running = running
    world.system.broken = "[ALERT] (7) : Starting proxy stats: cannot bind socket [:9999]"
    with pytest.raises(errors.DaemonError, match=r"(re)?start|reload") as raised:
        world.driver(kind).create(kind.make(world.url))
    assert "cannot bind socket [:9999]" in str(raised.value)
    assert "mend what it reports" in str(raised.value)
    assert before == world.read("/etc/haproxy/haproxy.cfg")
