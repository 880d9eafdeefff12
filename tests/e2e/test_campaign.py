"""Two faults of `./lab campaign` in the middle of an `up`: the next `up` loses nothing."""

from __future__ import annotations

import pytest

from campaign import faults
from hosts import connections
from sandbox import layout
from tests.e2e.conftest import ProjectCopy, inventory

pytestmark = [pytest.mark.sandbox, pytest.mark.long]


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("worker killed", 1.5), ("disk full", 1.0)],
)
def test_fault_loses_nothing(
    project: ProjectCopy, sandbox: layout.Layout, fault: str, seconds: float
) -> None:
    """The next `up` repairs everything; `down` leaves the hosts as they were."""
    project.write("karl", 61, servers=[{"name": "yuno1"}, {"name": "yuno2"}])

    def take_inventory() -> dict[str, str]:
        # After a power cut the machine is another process.
        connections.close_all()
        return inventory(
            connections.connect(sandbox.host_url), connections.connect(sandbox.workstation_url)
        )

    assert "" == faults.run(project, "karl", fault, seconds, take_inventory).lost
