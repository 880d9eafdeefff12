"""What all tests share: the sandbox's hosts, for those that need a real one."""

from __future__ import annotations

import os

import pytest

from providers.hosts import gateway
from sandbox import layout


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each module a worker; those that share the sandbox share one."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            shared = item.get_closest_marker("sandbox")
            item.add_marker(pytest.mark.xdist_group("sandbox" if shared else item.path.stem))


@pytest.fixture(scope="session")
def box() -> layout.Layout:
    """The sandbox that `./lab test` brought up."""
    name = os.environ.get("GRAPPE_SANDBOX")
    if not name:
        pytest.fail("no sandbox: run `./lab test`, or `./lab test --fast` for what needs none")
    return layout.Layout(name)


@pytest.fixture
def lab_host(box: layout.Layout) -> gateway.Host:
    """The sandbox's lab host; connected anew after a test that rebooted it."""
    return gateway.connect(box.host_url)


@pytest.fixture
def workstation(box: layout.Layout) -> gateway.Host:
    """The sandbox's workstation."""
    return gateway.connect(box.workstation_url)
