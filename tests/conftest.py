"""What all tests share: the sandbox's hosts, for those that need a real one."""

from __future__ import annotations

import os

import hypothesis
import pytest

from cli import environment
from cli import sandbox as commands
from hosts import connections
from hosts.host import Host
from sandbox import layout

# A busy machine makes no test fail: none of ours is about time.
hypothesis.settings.register_profile(
    "grappe", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("grappe")
# Tests read English, also those of commands that they start.
os.environ["LC_ALL"] = "C.UTF-8"


@pytest.fixture(scope="session")
def box() -> layout.Layout:
    """This worker's sandbox: the first's is the one that `./lab test` brought up."""
    name = os.environ.get("GRAPPE_SANDBOX")
    if not name:
        pytest.fail("no sandbox: run `./lab test`, or `./lab test --fast` for what needs none")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if worker != "gw0":
        name += f"-{worker}"
        commands.bring_up(layout.Layout(name))
        os.environ["GRAPPE_SANDBOX"] = name
        environment.apply()
    return layout.Layout(name)


@pytest.fixture
def lab_host(box: layout.Layout) -> Host:
    """The sandbox's lab host; connected anew after a test that rebooted it."""
    return connections.connect(box.host_url)


@pytest.fixture
def workstation(box: layout.Layout) -> Host:
    """The sandbox's workstation."""
    return connections.connect(box.workstation_url)
