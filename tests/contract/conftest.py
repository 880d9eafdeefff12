"""The worlds that the contract suite runs in: the fake, and the real daemon."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from hosts import connections
from hosts.host import Host
from providers.lxd import client, daemon, fake
from providers.lxd.container.readiness import Dial, dial_from
from providers.lxd.network import driver as networks
from providers.lxd.network import model as network_model
from providers.lxd.project import driver as projects
from providers.lxd.project import model as project_model
from providers.nat import model as rule_model
from providers.nat import resource as rule_resource

OWNER = "grappe/contract"
PROJECT, BRIDGE = "grappe-contract", "gr-3999"


@dataclasses.dataclass
class LxdWorld:
    """A daemon with one image, and how to hang it.

    Attributes:
        url: The host, as specs name it.
        lxd: The daemon.
        dial: How a port of a container is tried.
        image: The alias of an image that is there.
        hung: While it is entered, the daemon does not answer.
        open_bridges: While it is entered, containers get their addresses.
        on_host: Runs a script on the host as root, returns its output; the fake has none.
    """

    url: str
    lxd: daemon.Daemon
    dial: Dial
    image: str
    hung: Callable[[], contextlib.AbstractContextManager[daemon.Daemon]]
    open_bridges: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    on_host: Callable[[str], str] | None = None


def _fake_world() -> LxdWorld:
    lxd = fake.FakeLxd()
    lxd.add_image("standin")

    @contextlib.contextmanager
    def hung() -> Iterator[daemon.Daemon]:
        lxd.hangs = True
        try:
            yield lxd
        finally:
            lxd.hangs = False

    def answer(address: str, port: int, seconds: int) -> str:
        return "" if port == 22 else f"{address}:{port}: connection refused after {seconds} s"

    return LxdWorld("ssh://fake", lxd, answer, "standin", hung)


def _real_world(host: Host) -> LxdWorld:
    unit = {"lxc": "lxd", "incus": "incus"}[client.on(host).program]

    @contextlib.contextmanager
    def hung() -> Iterator[daemon.Daemon]:
        impatient = client.Lxd(host, seconds=1.0)
        # A client that is connected, to a daemon that is stopped.
        impatient.get("projects/default")
        host.run(["systemctl", "kill", "--kill-whom=main", "--signal=STOP", unit])
        try:
            yield impatient
        finally:
            host.run(["systemctl", "kill", "--kill-whom=main", "--signal=CONT", unit])

    @contextlib.contextmanager
    def open_bridges() -> Iterator[None]:
        # As in a lab: the first NAT rule is what lets DHCP through UFW.
        rule = rule_model.RuleSpec(
            host=host.url, owner=OWNER, name="contract", port=62219, comment="contract",
            target_address="10.79.159.10", target_port=22,
        )  # fmt: skip
        driver = rule_resource.RuleProvider().driver(host)
        driver.create(rule)
        try:
            yield
        finally:
            driver.delete(rule)

    return LxdWorld(
        host.url, client.on(host), dial_from(host), "standin", hung, open_bridges,
        on_host=lambda script: host.run(["sh", "-euc", script]).stdout,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def world(request: pytest.FixtureRequest) -> Iterator[LxdWorld]:
    """A daemon, with nothing of ours in it before and after."""
    if request.param == "fake":
        yield _fake_world()
        return
    made = _real_world(connections.connect(request.getfixturevalue("box").host_url))
    _purge(made)
    yield made
    _purge(made)


@pytest.fixture
def room(world: LxdWorld) -> Iterator[LxdWorld]:
    """A daemon with a project and a bridge of ours, purged after."""
    with _room(world):
        yield world


@pytest.fixture(scope="class")
def class_room(world: LxdWorld) -> Iterator[LxdWorld]:
    """The same, for tests that share what they make."""
    with _room(world):
        yield world


@contextlib.contextmanager
def _room(world: LxdWorld) -> Iterator[None]:
    project = project_model.ProjectSpec(host=world.url, owner=OWNER, name=PROJECT)
    bridge = network_model.NetworkSpec(
        host=world.url, owner=OWNER, name=BRIDGE, address="10.79.159.1/24"
    )
    projects.ProjectDriver(world.lxd).create(project)
    networks.NetworkDriver(world.lxd).create(bridge)
    with world.open_bridges():
        yield
    _purge(world)


def _purge(world: LxdWorld) -> None:
    lxd = world.lxd
    names = ("yuno1", "yuno2", "yuno1-published")
    for name in names:
        with contextlib.suppress(daemon.AbsentError):
            found = lxd.get(f"instances/{name}", project=PROJECT)
            if found["status"] != "Stopped":
                body = {"action": "stop", "force": True}
                lxd.change("PUT", f"instances/{name}/state", body, project=PROJECT)
            lxd.change("DELETE", f"instances/{name}", project=PROJECT)
    with contextlib.suppress(daemon.AbsentError):
        lxd.change("DELETE", "storage-pools/default/volumes/custom/data", project=PROJECT)
    for path in (f"projects/{PROJECT}", f"networks/{BRIDGE}", "images/aliases/contract"):
        with contextlib.suppress(daemon.AbsentError):
            lxd.change("DELETE", path)
