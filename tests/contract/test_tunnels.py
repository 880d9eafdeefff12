"""Tunnels and relay grants: one suite for the fake hosts and for the sandbox's."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import errors
from hosts import connections
from providers.relay import model as relay
from providers.relay import resource as relay_resource
from providers.tunnel import driver, fake, host, model
from providers.tunnel.key import driver as keys
from providers.tunnel.key import model as key_model
from remote import tunnels
from remote.names import TUNNEL_HOME
from remote.surveys import leftovers
from remote.targets import relay as relay_target
from sandbox import layout
from tests.contract.fragment_hosts import FakeFragmentHost, Kind, RealFragmentHost

OWNER, STRANGER = "grappe/contract", "grappe/stranger"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJEgVFxiZHpGfwzfP5yHAFaVuB5dYuwWcV0Rp9ZWeJhP"
PORT = 18022

GRANT = Kind(
    folder="relay", file=relay_target.KEYS, spec=relay.RelayGrantSpec,
    sample={"public_key": KEY, "listens": (PORT,)}, changed={"listens": (PORT + 1,)},
    key=relay.key(PORT), target=relay_target.RelayTarget,
    render=relay.fragment, shared_sections=dict,
)  # fmt: skip


@dataclasses.dataclass
class TunnelTestbed:
    """A lab host, and a relay that it may log in to.

    Attributes:
        tunnels: The lab host.
        relay_key: The relay's host key.
        let_in: Grants a public key access to the relay.
        cut: While it is entered, the tunnel forwards nothing.
        stop: Stops a unit, as a person would.
        remove: Removes a file of the lab host.
    """

    tunnels: host.TunnelHost
    relay_key: str
    let_in: Callable[[str], None]
    cut: Callable[[], contextlib.AbstractContextManager[None]]
    stop: Callable[[str], None]
    remove: Callable[[str], None]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def testbed(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[TunnelTestbed]:
    """The fake, or the sandbox; the suite's tunnel, key and grant are removed after."""
    if request.param == "fake":
        yield _fake(tmp_path)
        return
    sandbox: layout.Layout = request.getfixturevalue("sandbox")
    lab_host, relay_host = (
        connections.connect(sandbox.host_url),
        connections.connect(sandbox.relay_url),
    )
    grant = relay_resource.DoorProvider().driver(relay_host)

    def spec(public_key: str) -> relay.RelayGrantSpec:
        return relay.RelayGrantSpec(
            host=sandbox.relay_url,
            owner=OWNER,
            name="contract",
            public_key=public_key,
            listens=(PORT,),
        )

    @contextlib.contextmanager
    def cut() -> Iterator[None]:
        # The relay's port stays open; its target no longer answers.
        reject = [
            "-p",
            "tcp",
            "-d",
            layout.HOST_ADDRESS,
            "--dport",
            "22",
            "-o",
            "lo",
            "-j",
            "REJECT",
        ]
        lab_host.run(["iptables", "-I", "OUTPUT", *reject])
        try:
            yield
        finally:
            lab_host.run(["iptables", "-D", "OUTPUT", *reject])

    public = relay_host.run(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout
    tunnels = host.TunnelHost(lab_host)
    yield TunnelTestbed(
        tunnels, " ".join(public.split()[:2]), lambda key: grant.create(spec(key)) and None, cut,
        lambda unit: lab_host.run(["systemctl", "stop", unit]) and None,
        lambda path: lab_host.run(["rm", path]) and None,
    )  # fmt: skip
    for owner in (OWNER, STRANGER):
        whose = {"owner": owner, "lab": "", "incarnation": ""}
        with contextlib.suppress(errors.NotOursError):
            tunnels.call("lower_tunnel", name="contract", whose=whose)
            tunnels.call("remove_key", name="contract", whose=whose)
    grant.delete(spec(KEY))


def _fake(root: pathlib.Path) -> TunnelTestbed:
    tunnels = fake.FakeTunnelHost(root)

    @contextlib.contextmanager
    def cut() -> Iterator[None]:
        tunnels.system.carries = False
        yield
        tunnels.system.carries = True

    def let_in(_key: str) -> None:
        """Do nothing: the fake relay accepts every key."""

    return TunnelTestbed(
        tunnels,
        KEY,
        let_in,
        cut,
        lambda unit: tunnels.system.active.discard(f"{unit}.service"),
        lambda path: (root / path[1:]).unlink(),
    )


def tunnel(testbed: TunnelTestbed, public_key: str = "") -> model.TunnelSpec:
    forward = model.Forward(listen=PORT, address=layout.HOST_ADDRESS, port=22)
    return model.TunnelSpec(
        host="ssh://host", owner=OWNER, name="contract", relay_address=layout.RELAY_ADDRESS,
        relay_key=testbed.relay_key, forwards=(forward,), public_key=public_key, seconds=20,
    )  # fmt: skip


def pair(owner: str = OWNER) -> key_model.KeySpec:
    return key_model.KeySpec(host="ssh://host", owner=owner, name="contract")


def test_key_is_created_read_and_deleted(testbed: TunnelTestbed) -> None:
    """A second create returns the same key; deleting it twice succeeds."""
    driven = keys.KeyDriver(testbed.tunnels)
    assert driven.read(pair()) is None
    public = driven.create(pair())["public_key"]
    assert public.startswith("ssh-ed25519 AAAA")
    assert public == driven.create(pair())["public_key"]
    reading = driven.read(pair())
    assert reading is not None
    assert (pair(), public) == (reading.spec, reading.outputs["public_key"])
    driven.delete(pair())
    driven.delete(pair())
    assert driven.read(pair()) is None


def test_private_key_without_its_public_one_is_made_anew(testbed: TunnelTestbed) -> None:
    """A killed ssh-keygen leaves it, and would not overwrite it."""
    driven = keys.KeyDriver(testbed.tunnels)
    driven.create(pair())
    testbed.remove(f"{TUNNEL_HOME}/contract/key.pub")
    assert driven.create(pair())["public_key"].startswith("ssh-ed25519 AAAA")


WHOSE = {"owner": OWNER, "lab": "contract0001", "incarnation": "first"}


@pytest.mark.parametrize("cut", range(1, 5))
def test_key_of_a_killed_run_is_found_and_removed(tmp_path: pathlib.Path, cut: int) -> None:
    """Killed at each program that makes it: the user, the key, its owner, its mode."""
    system = fake.FakeTunnelSystem(tmp_path)
    made = tunnels.Tunnels(system, system.reach)
    run, count = system.run, itertools.count(1)

    def killed(*arguments: Any, **options: Any) -> Any:
        if next(count) == cut + 1:
            raise KeyboardInterrupt
        return run(*arguments, **options)

    system.run = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        made.make_key("contract", WHOSE)
    system.run = run  # type: ignore[method-assign]
    request = {"store": "/var/lib/grappe", "root": str(tmp_path), **WHOSE}
    assert ["contract"] == leftovers.main(request)["tunnels"]
    made.remove_key("contract", WHOSE)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert set() == system.users
    # A killed removal leaves the folder without marks.
    (tmp_path / TUNNEL_HOME.strip("/") / "contract").mkdir(parents=True)
    assert ["contract"] == leftovers.main(request)["tunnels"]


def test_files_that_a_killed_run_staged_go(tmp_path: pathlib.Path) -> None:
    system = fake.FakeTunnelSystem(tmp_path)
    made = tunnels.Tunnels(system, system.reach)
    made.make_key("contract", WHOSE)
    folder = tmp_path / TUNNEL_HOME.strip("/") / "contract"
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    staged = folder / ".known_hosts.grappe-7", units / ".grappe-tunnel-contract.service.grappe-7"
    for path in staged:
        path.write_text("")
    made.remove_key("contract", WHOSE)
    assert not any(path.exists() for path in (*staged, folder))


def test_tunnel_of_another_lab_is_left_alone(testbed: TunnelTestbed) -> None:
    """create, read and delete fail; the error names its owner."""
    driven = keys.KeyDriver(testbed.tunnels)
    driven.create(pair())
    for act in (driven.create, driven.read, driven.delete):
        with pytest.raises(errors.NotOursError, match=OWNER):
            act(pair(STRANGER))
    assert driven.read(pair()) is not None


def test_tunnel_is_created_repaired_and_deleted(testbed: TunnelTestbed) -> None:
    """A stopped unit is drift that an update repairs; deleting it twice succeeds."""
    public = keys.KeyDriver(testbed.tunnels).create(pair())["public_key"]
    testbed.let_in(public)
    driven, spec = driver.TunnelDriver(testbed.tunnels), tunnel(testbed, public)
    assert driven.read(spec) is None
    driven.create(spec)
    reading = driven.read(spec)
    assert reading is not None
    assert "" == reading.drift
    driven.create(spec)

    testbed.stop("grappe-tunnel-contract")
    reading = driven.read(spec)
    assert reading is not None
    assert "is not active" in reading.drift
    driven.update(spec, spec)
    reading = driven.read(spec)
    assert reading is not None
    assert "" == reading.drift

    driven.delete(spec)
    driven.delete(spec)
    assert driven.read(spec) is None


def test_tunnel_that_forwards_nothing_is_an_error(testbed: TunnelTestbed) -> None:
    """Its unit is active; read reports drift, and create fails."""
    public = keys.KeyDriver(testbed.tunnels).create(pair())["public_key"]
    testbed.let_in(public)
    driven = driver.TunnelDriver(testbed.tunnels)
    spec = dataclasses.replace(tunnel(testbed, public), seconds=3)
    driven.create(spec)
    with testbed.cut():
        reading = driven.read(spec)
        assert reading is not None
        assert f"port {PORT} of the relay carries nothing" in reading.drift
        with pytest.raises(errors.DaemonError, match="the tunnel contract carries nothing"):
            driven.create(spec)
    driven.create(dataclasses.replace(spec, seconds=20))


def test_tunnel_without_a_key_is_refused(testbed: TunnelTestbed) -> None:
    """It could never log in."""
    with pytest.raises(errors.DaemonError, match="has no key"):
        driver.TunnelDriver(testbed.tunnels).create(tunnel(testbed))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def relay_host(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[FakeFragmentHost | RealFragmentHost]:
    """A host with an sshd."""
    if request.param == "fake":
        yield FakeFragmentHost(tmp_path / "host")
        return
    made = RealFragmentHost(connections.connect(request.getfixturevalue("sandbox").relay_url))
    yield made
    for owner in (OWNER, STRANGER):
        with contextlib.suppress(errors.DaemonError):
            made.driver(GRANT).delete(GRANT.make(made.url, owner=owner))


def test_relay_grant_is_created_updated_and_deleted(
    relay_host: FakeFragmentHost | RealFragmentHost,
) -> None:
    """An emptied key file is drift; delete removes keys, sshd drop-in and store."""
    driven = relay_host.driver(GRANT)
    spec = GRANT.make(relay_host.url)
    assert driven.read(spec) is None
    driven.create(spec)
    reading = driven.read(spec)
    assert reading is not None
    assert (spec, "") == (reading.spec, reading.drift)
    line = relay_host.read(relay_target.KEYS)
    assert line.startswith(f'restrict,port-forwarding,permitlisten="*:{PORT}" ssh-ed25519 ')

    relay_host.write(relay_target.KEYS, "")
    reading = driven.read(spec)
    assert reading is not None
    assert "was changed by hand" in reading.drift
    changed = GRANT.make(relay_host.url, **GRANT.changed)
    driven.update(spec, changed)
    assert f"*:{PORT + 1}" in relay_host.read(relay_target.KEYS)

    driven.delete(changed)
    driven.delete(changed)
    for path in (relay_target.KEYS, relay_target.DROP_IN, "/var/lib/grappe"):
        assert not relay_host.exists(path)


def test_relay_port_of_another_lab_is_refused(
    relay_host: FakeFragmentHost | RealFragmentHost,
) -> None:
    """The second lab's create fails: the port is taken."""
    driven = relay_host.driver(GRANT)
    driven.create(GRANT.make(relay_host.url))
    with pytest.raises(errors.DaemonError, match=f"port {PORT} of the relay is taken"):
        driven.create(GRANT.make(relay_host.url, owner=STRANGER))
