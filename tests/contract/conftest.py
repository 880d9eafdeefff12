"""Testbeds of the LXD contract suites: the fake daemon, and the sandbox's real one."""

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
class LxdTestbed:
    """A daemon with one image, and the means to make it hang.

    Attributes:
        url: The host, as specs name it.
        lxd: The daemon.
        dial: Connects to a port of a container.
        image: The alias of its image.
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


def _fake_testbed() -> LxdTestbed:
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

    return LxdTestbed("ssh://fake", lxd, answer, "standin", hung)


def _real_testbed(host: Host) -> LxdTestbed:
    unit = {"lxc": "lxd", "incus": "incus"}[client.on(host).program]

    @contextlib.contextmanager
    def hung() -> Iterator[daemon.Daemon]:
        impatient = client.Lxd(host, seconds=1.0)
        # Connect before the daemon is stopped.
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

    return LxdTestbed(
        host.url, client.on(host), dial_from(host), "standin", hung, open_bridges,
        on_host=lambda script: host.run(["sh", "-euc", script]).stdout,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def testbed(request: pytest.FixtureRequest) -> Iterator[LxdTestbed]:
    """A daemon, with nothing of ours in it before and after."""
    if request.param == "fake":
        yield _fake_testbed()
        return
    made = _real_testbed(connections.connect(request.getfixturevalue("sandbox").host_url))
    _purge(made)
    yield made
    _purge(made)


@pytest.fixture
def lab(testbed: LxdTestbed) -> Iterator[LxdTestbed]:
    """A testbed with a lab's project and bridge, purged after."""
    with _lab(testbed):
        yield testbed


@pytest.fixture(scope="class")
def class_lab(testbed: LxdTestbed) -> Iterator[LxdTestbed]:
    """The same, shared by the tests of a class."""
    with _lab(testbed):
        yield testbed


@contextlib.contextmanager
def _lab(testbed: LxdTestbed) -> Iterator[None]:
    project = project_model.ProjectSpec(host=testbed.url, owner=OWNER, name=PROJECT)
    bridge = network_model.NetworkSpec(
        host=testbed.url, owner=OWNER, name=BRIDGE, address="10.79.159.1/24"
    )
    projects.ProjectDriver(testbed.lxd).create(project)
    networks.NetworkDriver(testbed.lxd).create(bridge)
    with testbed.open_bridges():
        yield
    _purge(testbed)


def _purge(testbed: LxdTestbed) -> None:
    lxd = testbed.lxd
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
