"""Shared fixtures: the sandbox, its lab host and workstation, for tests marked `sandbox`."""

from __future__ import annotations

import functools
import os

import hypothesis
import pytest

from cli import environment
from cli import sandbox as commands
from hosts import connections
from hosts.host import Host
from sandbox import layout

# One case of a parametrised test that `./lab test --long` runs alone: shorter ones show its kind.
long = functools.partial(pytest.param, marks=pytest.mark.long)

# No deadline: on a busy machine a slow example is no failure.
hypothesis.settings.register_profile(
    "grappe", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("grappe")
# Tests read English, also those of commands that they start.
os.environ["LC_ALL"] = "C.UTF-8"


@pytest.fixture(scope="session")
def sandbox() -> layout.Layout:
    """The sandbox of this pytest worker; the first worker uses the one of `./lab test`."""
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
def lab_host(sandbox: layout.Layout) -> Host:
    """The sandbox's lab host; reconnects if an earlier test closed the connections."""
    return connections.connect(sandbox.host_url)


@pytest.fixture
def workstation(sandbox: layout.Layout) -> Host:
    """The sandbox's workstation."""
    return connections.connect(sandbox.workstation_url)
