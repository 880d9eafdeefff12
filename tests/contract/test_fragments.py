"""The contract of fragments in shared files: NAT rules, HAProxy backends and hosts entries."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
from collections.abc import Iterator

import pytest

from core import errors
from hosts import command
from remote import fragment_store as stores
from remote import haproxy_maps, managed_block, running_haproxy
from remote.targets import haproxy as haproxy_target
from tests.contract import fragment_hosts
from tests.contract.fragment_hosts import KINDS, OWNER, STRANGER, FragmentHost, Kind


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def host(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[FragmentHost]:
    """A host with the files that its packages brought."""
    if request.param == "fake":
        made: FragmentHost = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    else:
        made = fragment_hosts.RealFragmentHost(request.getfixturevalue("lab_host"))
    with fragment_hosts.clean(made):
        yield made


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of fragment."""
    return KINDS[request.param]


def fragment_file(kind: Kind, name: str = "yuno1") -> str:
    return f"/var/lib/grappe/{kind.folder}/fragments/{OWNER.replace('/', '+')}+{name}.json"


def test_fragment_is_created_read_updated_and_deleted(host: FragmentHost, kind: Kind) -> None:
    """create, read, create again, update, read, and delete twice."""
    driver, spec = host.driver(kind), kind.make(host.url)
    assert driver.read(spec) is None
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    text = host.read(kind.file)
    driver.create(spec)
    assert text == host.read(kind.file)

    changed = kind.make(host.url, **kind.changed)
    driver.update(spec, changed)
    assert (changed, "") == (driver.read(changed).spec, driver.read(changed).drift)

    driver.delete(changed)
    assert driver.read(changed) is None
    driver.delete(changed)


def test_last_fragment_removes_every_file(host: FragmentHost, kind: Kind) -> None:
    """Content, mode and owner of the file, and the loaded rules, are as before the first."""
    before = (host.read(kind.file), host.stat(kind.file), host.live())
    driver = host.driver(kind)
    one = kind.make(host.url)
    driver.create(one)
    assert before[0] != host.read(kind.file)
    driver.delete(one)
    assert before == (host.read(kind.file), host.stat(kind.file), host.live())
    assert not host.exists("/var/lib/grappe")


def test_text_around_the_managed_part_stays(host: FragmentHost, kind: Kind) -> None:
    """A line outside the managed part survives an update and the last delete."""
    driver, spec = host.driver(kind), kind.make(host.url)
    original = host.read(kind.file)
    driver.create(spec)
    host.write(kind.file, host.read(kind.file) + "# a line of somebody's\n")
    driver.update(spec, kind.make(host.url, **kind.changed))
    assert host.read(kind.file).endswith("# END GRAPPE\n# a line of somebody's\n")
    driver.delete(spec)
    left = host.read(kind.file)
    assert original.rstrip("\n") + "\n# a line of somebody's\n" in (
        left,
        left.replace("r#", "r\n#"),
    )
    host.write(kind.file, original)


def test_drift_of_the_file_is_read_and_repaired(host: FragmentHost, kind: Kind) -> None:
    """A managed part that was edited or removed is drift, and comes back."""
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    good, lines = host.read(kind.file), kind.lines or kind.file
    address = kind.sample.get("target_address") or kind.sample["address"]
    edited = host.read(lines).replace(address, "10.99.99.99")
    head, _, rest = good.partition("# BEGIN GRAPPE")
    without = head + rest.partition("# END GRAPPE\n")[2]
    for file, bad in ((lines, edited), (kind.file, without)):
        host.write(file, bad)
        assert "changed by hand" in driver.read(spec).drift
        driver.update(spec, spec)
        assert "" == driver.read(spec).drift
        # What the part remembers of the file's end is lost with the part.
        assert good.replace(" [newline added]", "") == host.read(kind.file).replace(
            " [newline added]", ""
        )


@pytest.mark.parametrize("kind", ["haproxy", "nat"], indirect=True)
def test_drift_of_loaded_rules_is_read_and_repaired(host: FragmentHost, kind: Kind) -> None:
    """Flushed rules or a stopped HAProxy are drift, although the file is right."""
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    host.unload(kind)
    assert driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift


def test_fragment_removed_or_edited_by_hand_is_drift(host: FragmentHost, kind: Kind) -> None:
    """A removed one reads as missing, and create restores it; an edited one reads as edited."""
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    host.remove(fragment_file(kind))
    assert driver.read(spec) is None
    driver.create(spec)
    assert "" == driver.read(spec).drift

    fragment = json.loads(host.read(fragment_file(kind)))
    field, value = next(iter(kind.changed.items()))
    fragment["spec"][field] = value
    host.write(fragment_file(kind), json.dumps(fragment))
    assert value == getattr(driver.read(spec).spec, field)
    driver.update(driver.read(spec).spec, spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)


def test_claims_of_one_request_are_judged_separately(host: FragmentHost, kind: Kind) -> None:
    """An edited, an unchanged, a missing and another lab's fragment in one request."""
    driver, field = host.driver(kind), "port" if kind.folder == "nat" else "domains"
    values = [62301, 62302] if field == "port" else [("b.contract.test",), ("c.contract.test",)]
    first = kind.make(host.url)
    second = kind.make(host.url, "yuno2", **{field: values[0]})
    theirs = kind.make(host.url, "yuno3", STRANGER, **{field: values[1]})
    for spec in (first, second, theirs):
        driver.create(spec)
    by_hand = kind.render(kind.make(host.url, **kind.changed)).as_json()
    host.write(fragment_file(kind), json.dumps(by_hand))
    absent = kind.make(host.url, "yuno4")
    claims = [
        {"id": spec.id, "owner": OWNER, "lab": ""} for spec in (first, second, absent, theirs)
    ]
    edited, unchanged, missing, refused = driver._store.send_claims(claims)
    assert "changed by hand" in edited["drift"]
    assert ("yuno2", "") == (unchanged["fragment"]["spec"]["name"], unchanged["drift"])
    assert {"fragment": None} == missing
    assert not refused["ok"]
    assert "was left alone" in refused["brief"]
    for spec in (first, second, theirs):
        driver.delete(spec)


def test_key_of_another_lab_is_refused(host: FragmentHost, kind: Kind) -> None:
    """The second is refused with the holder's name, and the first stays as it is."""
    driver = host.driver(kind)
    driver.create(kind.make(host.url))
    text = host.read(kind.file)
    with pytest.raises(errors.DaemonError) as failure:
        driver.create(kind.make(host.url, "yuno2", STRANGER))
    assert f"{kind.key} is taken" in str(failure.value)
    assert f"(stack {OWNER})" in str(failure.value)
    assert text == host.read(kind.file)


def test_damaged_managed_part_is_a_clear_error(host: FragmentHost, kind: Kind) -> None:
    """Without its last line read, create and delete fail with the remedy, and change nothing."""
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    good = host.read(kind.file)
    damaged = good.replace("# END GRAPPE\n", "")
    host.write(kind.file, damaged)
    for action in (driver.read, driver.create, driver.delete):
        with pytest.raises(errors.DaemonError, match="is damaged, nothing was changed") as failure:
            action(spec)
        assert "put its first and last line back" in str(failure.value)
    assert damaged == host.read(kind.file)
    host.write(kind.file, good)


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
    host: FragmentHost, kind: Kind, text: str, words: str
) -> None:
    """read, create and delete fail with the file and the remedy, and change nothing."""
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    good, shared = host.read(fragment_file(kind)), host.read(kind.file)
    host.write(fragment_file(kind), text)
    for action in (driver.read, driver.create, driver.delete):
        with pytest.raises(errors.DaemonError, match=words) as failure:
            action(spec)
        assert "do: " in str(failure.value)
        assert words != "is damaged" or fragment_file(kind) in str(failure.value)
    assert shared == host.read(kind.file)
    host.write(fragment_file(kind), good)


def test_waiting_changes_are_committed_together(host: FragmentHost, kind: Kind) -> None:
    """Twelve concurrent creates succeed; one whose key is taken fails alone."""
    driver = host.driver(kind)
    fields = ("port",) if kind.folder == "nat" else ("domains",)

    def spec(index: int) -> object:
        value = 62300 + index if fields == ("port",) else (f"many{index}.contract.test",)
        return kind.make(host.url, f"many{index}", **{fields[0]: value})

    clash = kind.make(host.url, "yuno2", **{fields[0]: getattr(spec(0), fields[0])})
    driver.create(spec(0))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        bad = pool.submit(driver.create, clash)
        list(pool.map(driver.create, [spec(index) for index in range(1, 12)]))
        with pytest.raises(errors.DaemonError, match="is taken"):
            bad.result()
    for index in range(12):
        assert "" == driver.read(spec(index)).drift
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(driver.delete, [spec(index) for index in range(12)]))
    assert not host.exists("/var/lib/grappe")


class TestNat:
    """What NAT rules alone need."""

    kind = KINDS["nat"]

    def test_added_rule_leaves_other_rules_loaded(self, host: FragmentHost) -> None:
        """One rule is added to the chain or deleted from it; the others are not reloaded."""
        driver = host.driver(self.kind)
        one, two = (self.kind.make(host.url, f"yuno{n}", port=62220 + n) for n in (1, 2))
        driver.create(two)
        driver.create(one)
        ports = [line.split("--dport ")[1].split()[0] for line in host.forwards()]
        assert ["62222", "62221"] == ports
        assert ["", ""] == [driver.read(spec).drift for spec in (one, two)]
        driver.delete(two)
        assert 1 == len(host.forwards())
        assert "" == driver.read(one).drift

    def test_added_rule_restores_lost_rules(self, host: FragmentHost) -> None:
        """If loaded rules are missing, the whole chain is reloaded."""
        driver = host.driver(self.kind)
        one, two = (self.kind.make(host.url, f"yuno{n}", port=62220 + n) for n in (1, 2))
        driver.create(one)
        host.unload(self.kind)
        driver.create(two)
        assert ["", ""] == [driver.read(spec).drift for spec in (one, two)]
        host.unload(self.kind)
        driver.delete(one)
        assert "" == driver.read(two).drift


class TestHaproxy:
    """What HAProxy alone needs."""

    kind = KINDS["haproxy"]

    def test_configuration_that_was_invalid_before_is_refused(self, host: FragmentHost) -> None:
        """The error has HAProxy's message, and says that it was so before; nothing is changed."""
        original = host.read(self.kind.file)
        host.write(self.kind.file, original + "nonsense here\n")
        with pytest.raises(errors.DaemonError) as failure:
            host.driver(self.kind).create(self.kind.make(host.url))
        assert "it was invalid before Grappe" in str(failure.value)
        assert "unknown keyword" in str(failure.value)
        assert not host.exists("/var/lib/grappe")
        assert original + "nonsense here\n" == host.read(self.kind.file)
        host.write(self.kind.file, original)

    def test_accepted_text_around_our_part_is_noted(self, host: FragmentHost) -> None:
        """The preflight validates haproxy.cfg only if it differs from this copy."""
        host.driver(self.kind).create(self.kind.make(host.url))
        split = managed_block.split(host.read(self.kind.file))
        assert split.before + split.after == host.read(haproxy_target.LOADED)

    def test_second_default_server_of_a_host_is_refused(self, host: FragmentHost) -> None:
        """A second default is refused, with the first one's owner."""
        driver = host.driver(self.kind)
        driver.create(self.kind.make(host.url, default=True))
        second = self.kind.make(host.url, "yuno2", domains=("b.contract.test",), default=True)
        with pytest.raises(errors.DaemonError, match="the default backend is taken"):
            driver.create(second)

    def test_added_or_removed_backend_needs_no_reload(self, host: FragmentHost) -> None:
        """haproxy.cfg stays the same; the run-time socket changes the loaded maps."""
        driver = host.driver(self.kind)
        one = self.kind.make(host.url)
        two = self.kind.make(host.url, "yuno2", domains=("b.contract.test",))
        driver.create(one)
        before = (host.worker(), host.read(self.kind.file))
        driver.create(two)
        assert "b.contract.test 10.79.159.10" in host.send(f"show map {haproxy_maps.ROUTES}")
        driver.update(two, dataclasses.replace(two, state="stopped", address="10.79.159.12"))
        assert "b.contract.test 10.79.159.12" in host.send(f"show map {haproxy_maps.ROUTES}")
        assert "b.contract.test stopped" in host.send(f"show map {haproxy_maps.STATES}")
        driver.delete(two)
        assert "b.contract.test" not in host.send(f"show map {haproxy_maps.ROUTES}")
        assert before == (host.worker(), host.read(self.kind.file))
        assert "" == driver.read(one).drift

    @pytest.mark.parametrize(
        "command",
        [f"set map {haproxy_maps.ROUTES} yuno1.contract.test 10.99.99.99",
         f"del map {haproxy_maps.STATES} yuno1.contract.test",
         f"add map {haproxy_maps.ROUTES} stray.contract.test 10.99.99.99"],
    )  # fmt: skip
    def test_map_changed_at_run_time_is_drift(self, host: FragmentHost, command: str) -> None:
        """Although the files are right; an update repairs it without a reload."""
        driver, spec = host.driver(self.kind), self.kind.make(host.url)
        driver.create(spec)
        worker = host.worker()
        host.send(command)
        assert "changed while it runs" in driver.read(spec).drift
        driver.update(spec, spec)
        assert "" == driver.read(spec).drift
        assert worker == host.worker()

    def test_unusable_socket_causes_a_reload(
        self, host: FragmentHost, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As a last resort; the output says so."""
        driver = host.driver(self.kind)
        driver.create(self.kind.make(host.url))
        worker = host.worker()
        host.mute()
        try:
            driver.create(self.kind.make(host.url, "yuno2", domains=("b.contract.test",)))
        finally:
            host.unmute()
        assert worker != host.worker()
        assert "reloaded HAProxy: its run-time socket is unusable" in capsys.readouterr().out
        assert "b.contract.test 10.79.159.10" in host.send(f"show map {haproxy_maps.ROUTES}")

    @pytest.mark.sandbox
    def test_other_sockets_replace_a_missing_one_of_ours(
        self, request: pytest.FixtureRequest
    ) -> None:
        """Without Grappe's and the admin socket the master's serves; nothing is reloaded."""
        host = fragment_hosts.RealFragmentHost(request.getfixturevalue("lab_host"))
        with fragment_hosts.clean(host):
            driver = host.driver(self.kind)
            driver.create(self.kind.make(host.url))
            worker = host.worker()
            host.run("rm", *fragment_hosts.SOCKETS[:2])
            two = self.kind.make(host.url, "yuno2", domains=("b.contract.test",))
            driver.create(two)
            assert "" == driver.read(two).drift
            assert worker == host.worker()
            host.run("systemctl", "restart", "haproxy")

    def test_parent_of_anothers_domain_is_refused(self, host: FragmentHost) -> None:
        """A sub-domain of another lab's domain, too; within one lab both are allowed."""
        driver = host.driver(self.kind)
        driver.create(self.kind.make(host.url))
        driver.create(self.kind.make(host.url, "yuno2", domains=("www.yuno1.contract.test",)))
        for domain in ("contract.test", "wiki.yuno1.contract.test"):
            with pytest.raises(errors.DaemonError, match="are a domain and its sub-domain"):
                driver.create(self.kind.make(host.url, "x", STRANGER, domains=(domain,)))

    def test_reload_without_effect_is_rolled_back(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If HAProxy does not load the new files, the old ones are restored."""
        monkeypatch.setattr(running_haproxy, "RELOAD_SECONDS", 0.1)
        host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
        driver, original = host.driver(self.kind), host.read(self.kind.file)
        host.system.stuck = True
        with pytest.raises(errors.DaemonError, match="did not take the new configuration"):
            driver.create(self.kind.make(host.url))
        assert original == host.read(self.kind.file)
        assert not host.exists("/var/lib/grappe")
        host.system.stuck = False
        driver.create(self.kind.make(host.url))
        good = host.read(haproxy_maps.ROUTES)
        host.system.stuck = host.system.mute = True
        with pytest.raises(errors.DaemonError, match="did not take the new configuration"):
            driver.create(self.kind.make(host.url, "yuno2", domains=("b.contract.test",)))
        assert good == host.read(haproxy_maps.ROUTES)
        host.system.stuck = host.system.mute = False
        assert "" == driver.read(self.kind.make(host.url)).drift

    def test_group_commit_reloads_once(self, tmp_path: pathlib.Path) -> None:
        """Twelve concurrent changes share the first one's reload."""
        host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
        driver = host.driver(self.kind)
        specs = [
            self.kind.make(host.url, f"many{n}", domains=(f"many{n}.contract.test",))
            for n in range(12)
        ]
        host.system.pause = 0.3
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(driver.create, specs))
        assert host.system.reloads == 1
        assert all(not driver.read(spec).drift for spec in specs)


def test_held_lock_does_not_read_as_missing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another change holds the lock, read, delete and create raise."""
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.1)
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    kind = KINDS["nat"]
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    store = stores.Store(host.system, "/var/lib/grappe/nat")
    with store.lock():
        for action in (driver.read, driver.delete, driver.create):
            with pytest.raises(errors.DaemonError, match="lock is held for more than"):
                action(spec)
    assert "" == driver.read(spec).drift
    # A change that was reported as failed is not made later.
    assert [] == list((tmp_path / "host/var/lib/grappe/nat/queue").iterdir())


def test_symbolic_link_is_refused(tmp_path: pathlib.Path) -> None:
    """A shared file that is a link is refused; neither the link nor what it leads to changes."""
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    for kind in KINDS.values():
        real = tmp_path / "host" / kind.file[1:]
        kept = real.with_suffix(".real")
        text = real.read_text()
        real.rename(kept)
        real.symlink_to(kept)
        with pytest.raises(errors.DaemonError, match="is a symbolic link, and was left alone"):
            host.driver(kind).create(kind.make(host.url))
        assert real.is_symlink()
        assert text == kept.read_text()


def test_half_written_fragment_is_ignored(tmp_path: pathlib.Path) -> None:
    """A temporary file that a killed process left in the store is no fragment."""
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    kind = KINDS["nat"]
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    folder = tmp_path / "host/var/lib/grappe/nat/fragments"
    (folder / ".x.json.grappe-1").write_text("half a fragm")
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    assert not host.exists("/var/lib/grappe")


def test_inactive_before_init_stays_inactive(tmp_path: pathlib.Path) -> None:
    """Only our part of a script that was not executable runs; an executable one runs whole."""
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    kind, init = KINDS["nat"], tmp_path / "host/etc/ufw/before.init"
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    assert "exit 0\n# END GRAPPE" in init.read_text()
    driver.delete(spec)
    init.chmod(0o750)
    driver.create(spec)
    assert "exit 0\n# END GRAPPE" not in init.read_text()


def test_before_init_without_an_interpreter_line_gets_our_part_first(
    tmp_path: pathlib.Path,
) -> None:
    """Below its first line it would stand within a statement."""
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    kind, init = KINDS["nat"], tmp_path / "host/etc/ufw/before.init"
    own = 'case "$1" in\nstart) exit 0 ;;\nesac\n'
    init.write_text(own)
    init.chmod(0o750)
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    assert init.read_text().startswith("# BEGIN GRAPPE")
    assert 0 == command.execute(["sh", "-n", str(init)]).status
    driver.delete(spec)
    assert own == init.read_text()


def test_leftovers_of_killed_transactions_are_swept(tmp_path: pathlib.Path) -> None:
    """The next change removes a dead process's staged file and queued change."""
    host = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    kind = KINDS["hosts"]
    driver, spec = host.driver(kind), kind.make(host.url)
    before = sorted(path.name for path in (tmp_path / "host/etc").iterdir())
    driver.create(spec)
    (tmp_path / "host/etc/.hosts.grappe-999999").write_text("half a file")
    queue = tmp_path / "host/var/lib/grappe/hosts/queue"
    change = {"op": "put", "fragment": {}}
    for end in (".change", ".result", ".new"):
        (queue / f"1-999999-1-abc{end}").write_text(json.dumps(change))
    driver.delete(spec)
    assert before == sorted(path.name for path in (tmp_path / "host/etc").iterdir())
    assert not host.exists("/var/lib/grappe")


class TestOwnership:
    """Ownership follows the lab's id, not its name."""

    def test_another_lab_of_the_same_name_is_refused(self, host: FragmentHost, kind: Kind) -> None:
        """create, read and delete fail; the remedy names the id."""
        driver = host.driver(kind)
        mine = kind.make(host.url, lab="alicealice01")
        theirs = kind.make(host.url, lab="another00001")
        driver.create(mine)
        for action in (driver.create, driver.read, driver.delete):
            with pytest.raises(errors.DaemonError, match="grappe:id: alicealice01"):
                action(theirs)
        assert mine == driver.read(mine).spec

    def test_renamed_lab_keeps_its_fragment(self, host: FragmentHost, kind: Kind) -> None:
        """An update moves it to the new owner; a fragment without an id is its owner's."""
        driver = host.driver(kind)
        driver.create(kind.make(host.url))
        old = kind.make(host.url, lab="alicealice01")
        driver.create(old)
        new = kind.make(host.url, owner="grappe/renamed", lab="alicealice01")
        assert old == driver.read(new).spec
        driver.update(old, new)
        assert (new, "") == (driver.read(new).spec, driver.read(new).drift)
        assert not host.exists(fragment_file(kind))
        driver.delete(new)
        assert driver.read(new) is None


def test_unchangeable_file_is_reported_with_a_remedy(
    host: FragmentHost, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the path, the cause and a command; the file keeps its content."""
    before = host.read(kind.file)

    def refuse(path: str, *_rest: object) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    if isinstance(host, fragment_hosts.FakeFragmentHost):
        monkeypatch.setattr(host.system, "swap", refuse)
    else:
        host.run("chattr", "+i", kind.file)
    try:
        with pytest.raises(errors.DaemonError, match="could not be changed") as found:
            host.driver(kind).create(kind.make(host.url))
    finally:
        if not isinstance(host, fragment_hosts.FakeFragmentHost):
            host.run("chattr", "-i", kind.file)
    assert "Operation not permitted" in found.value.seen
    assert "lsattr /" in found.value.do
    assert before == host.read(kind.file)


def test_ipv6_at_a_bridge_is_drift_without_our_rules(tmp_path: pathlib.Path) -> None:
    """Somebody switched it on, and a flush took the rules; an update loads them again."""
    kind, host = KINDS["nat"], fragment_hosts.FakeFragmentHost(tmp_path / "host")
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    switch = tmp_path / "host/proc/sys/net/ipv6/conf/gr-7/disable_ipv6"
    switch.parent.mkdir(parents=True)
    switch.write_text("0\n")
    assert "" == driver.read(spec).drift
    host.system.rules6.clear()
    assert "IPv6 is on at gr-7" in driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    assert [] == host.system.rules6


@pytest.mark.parametrize("running", [True, False])
def test_haproxy_that_does_not_start_is_reported_with_its_log(
    tmp_path: pathlib.Path, running: bool
) -> None:
    """Systemd says only that it failed; the journal has HAProxy's own words."""
    kind, host = KINDS["haproxy"], fragment_hosts.FakeFragmentHost(tmp_path / "host")
    before = host.read("/etc/haproxy/haproxy.cfg")
    host.system.running = running
    host.system.broken = "[ALERT] (7) : Starting proxy stats: cannot bind socket [:9999]"
    with pytest.raises(errors.DaemonError, match=r"(re)?start|reload") as raised:
        host.driver(kind).create(kind.make(host.url))
    assert "cannot bind socket [:9999]" in str(raised.value)
    assert "mend what it reports" in str(raised.value)
    assert before == host.read("/etc/haproxy/haproxy.cfg")
