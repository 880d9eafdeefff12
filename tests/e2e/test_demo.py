"""The one command: from a bare server to a lab that answers, and back to nothing."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from cli import environment
from hosts import command
from sandbox import layout, machine
from sandbox import lifecycle as boxes
from sandbox.project_copy import ProjectCopy

pytestmark = pytest.mark.sandbox

LIMIT = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> Iterator[ProjectCopy]:
    """A project without a sandbox."""
    box = layout.Layout("grappe-test-demo")
    boxes.down(box)
    made = ProjectCopy(tmp_path, box, environment.prepare(lambda _text: None))
    made.env.pop("GRAPPE_SSH_CONFIG", None)
    yield made
    boxes.down(box)


def is_well(project: ProjectCopy) -> bool:
    try:
        return "1 of 1 students ok" in project.lab("check", "demo")
    except AssertionError:
        return False


def test_demo_comes_up_twice_and_goes_down(project: ProjectCopy) -> None:
    """A bare server, a golden image, a student's lab, the tunnel; again nothing to do; all gone."""
    before = LIMIT.read_text()
    said = project.lab("demo", "--yes", "--json")
    assert "a bare Debian 12" in said
    assert "2 servers: ssh, http and https, each its own" in said
    assert "both domains by the tunnel, http and https" in said
    (cards,) = [line for line in said.splitlines() if line.startswith("[{")]
    assert ["yuno1", "yuno2"] == [server["name"] for server in json.loads(cards)]

    again = project.lab("demo", "--yes")
    assert " created" not in again
    assert "25 unchanged" in again

    # A lab host that was shut down comes back with its mirrored disk, and the labs on it.
    machine.poweroff(project.layout, project.layout.lab_host)
    assert boxes.has_fallen(project.layout)
    assert "with the labs on them" in project.lab("sandbox", "up")
    command.wait_until(lambda: is_well(project), what="the demo to answer", timeout=60, pause=1)

    project.lab("demo", "--down")
    assert not boxes.status(project.layout).namespaces
    assert before == LIMIT.read_text()
