"""`./lab demo`: from a bare server to a lab that answers, a second run, and `--down`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from cli import environment
from hosts import command
from sandbox import layout, lifecycle, machine
from sandbox.project_copy import ProjectCopy

pytestmark = pytest.mark.sandbox

LIMIT = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> Iterator[ProjectCopy]:
    """A project without a sandbox."""
    sandbox = layout.Layout("grappe-test-demo")
    lifecycle.down(sandbox)
    made = ProjectCopy(tmp_path, sandbox, environment.prepare(lambda _text: None))
    made.env.pop("GRAPPE_SSH_CONFIG", None)
    yield made
    lifecycle.down(sandbox)


def is_ok(project: ProjectCopy) -> bool:
    try:
        return "1 of 1 students ok" in project.lab("check", "demo")
    except AssertionError:
        return False


def test_demo_comes_up_twice_and_goes_down(project: ProjectCopy) -> None:
    """A second run changes nothing, a shut-down host comes back, `--down` removes everything."""
    before = LIMIT.read_text()
    output = project.lab("demo", "--yes", "--json")
    assert "a bare Debian 12" in output
    assert "2 servers answer by ssh, http and https" in output
    assert "both domains by the tunnel, http and https" in output
    (cards,) = [line for line in output.splitlines() if line.startswith("[{")]
    assert ["yuno1", "yuno2"] == [server["name"] for server in json.loads(cards)]

    again = project.lab("demo", "--yes")
    assert " created" not in again
    assert "25 unchanged" in again

    # A lab host that was shut down comes back with its mirrored disk, and the labs on it.
    machine.poweroff(project.layout, project.layout.lab_host)
    assert lifecycle.has_fallen(project.layout)
    assert "with the labs on them" in project.lab("sandbox", "up")
    command.wait_until(lambda: is_ok(project), what="the demo to answer", timeout=60, pause=1)

    project.lab("demo", "--down")
    assert not lifecycle.status(project.layout).namespaces
    assert before == LIMIT.read_text()
