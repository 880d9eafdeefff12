"""An engine that is killed: the next `./lab up` goes on, and nothing is left behind."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
from collections.abc import Callable

import pytest

from hosts import command
from hosts.host import Host
from sandbox.project_copy import UP
from tests.e2e.conftest import Desk, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

SLOW_RELOAD = "/etc/systemd/system/haproxy.service.d/slow.conf"


def start(project: ProjectCopy) -> subprocess.Popen[bytes]:
    """Start an `up`, and return its engine."""
    argv = ["pulumi", *UP, "-s", "bob"]
    with (project.folder / "killed.log").open("wb") as log:
        return subprocess.Popen(argv, cwd=project.folder, env=project.env, stdout=log, stderr=log)


def of_project(project: ProjectCopy) -> list[str]:
    """Return the processes of this machine that work in the project's folder."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if (process / "cwd").readlink() == project.folder:
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found


def kill_when(project: ProjectCopy, moment: Callable[[], bool], what: str) -> None:
    """Kill the engine at a moment of its run; what it started must end by itself."""
    engine = start(project)
    try:
        command.wait_until(moment, what=what, timeout=60, pause=0.02)
        assert engine.poll() is None, (project.folder / "killed.log").read_text()
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    command.wait_until(
        lambda: not of_project(project), what="the processes of a killed engine", timeout=15
    )


@pytest.fixture
def fresh(project: ProjectCopy, lab_host: Host, workstation: Host) -> dict[str, str]:
    """A stack that has nothing yet, and the host before it."""
    before = inventory(lab_host, workstation)
    project.write("bob", 8)
    return before


def finish(
    project: ProjectCopy, desk: Desk, lab_host: Host, workstation: Host,
    before: dict[str, str],
) -> None:  # fmt: skip
    """`./lab up` converges; after `down` no orphan is left."""
    project.lab("up", "bob")
    assert desk.answers(project.outputs("bob")["servers"])
    project.up("bob", "--expect-no-changes")
    project.lab("down", "bob", "--yes")
    assert before == inventory(lab_host, workstation)


def test_kill_before_the_first_resource_is_safe(
    project: ProjectCopy, desk: Desk, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """The lock of the dead run is cleared."""
    locks = project.folder / ".state" / ".pulumi" / "locks"
    kill_when(project, lambda: any(locks.rglob("bob/*.json")), "the engine's lock")
    assert any(locks.rglob("bob/*.json"))
    finish(project, desk, lab_host, workstation, fresh)


def test_kill_during_create_of_a_container_is_safe(
    project: ProjectCopy, desk: Desk, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """The container that is there is taken up."""

    def there() -> bool:
        argv = ["lxc", "list", "--project", "grappe-bob", "--format", "csv", "--columns", "n"]
        return "yuno" in lab_host.run(argv, check=False).stdout

    kill_when(project, there, "a container of bob's")
    finish(project, desk, lab_host, workstation, fresh)


def test_kill_between_two_resources_is_safe(
    project: ProjectCopy, desk: Desk, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """What the dead run made and did not record is found again."""
    path = "/var/lib/grappe/nat/fragments/grappe+bob+yuno1_ssh.json"
    kill_when(
        project, lambda: lab_host.run(["test", "-e", path], check=False).ok, "a rule of bob's"
    )
    finish(project, desk, lab_host, workstation, fresh)


def test_kill_inside_a_transaction_is_safe(
    project: ProjectCopy, desk: Desk, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """Killed on both sides after the rename and before the reload: the next run mends it."""
    slow = "[Service]\nExecReload=\nExecReload=/bin/sleep 3\nExecReload=/bin/kill -USR2 $MAINPID\n"
    script = f"mkdir -p $(dirname {SLOW_RELOAD}) && cat > {SLOW_RELOAD} && systemctl daemon-reload"
    lab_host.run(["sh", "-ec", script], stdin=slow.encode())
    try:

        def swapped() -> bool:
            asks = "grep -q 'BEGIN GRAPPE' /etc/haproxy/haproxy.cfg && pgrep -x systemctl"
            return lab_host.run(["sh", "-c", asks], check=False).ok

        kill_when(project, swapped, "the new haproxy.cfg")
        # None of those may go on, whether it ended with the engine or has to be killed.
        pattern = "The program of the python that [a]nswers"
        lab_host.run(["pkill", "-9", "-f", pattern], check=False)
        command.wait_until(
            lambda: not lab_host.run(["pgrep", "-f", pattern], check=False).ok,
            what="the end of what ran on the host", timeout=10,
        )  # fmt: skip
    finally:
        undo = f"rm -r $(dirname {SLOW_RELOAD}); systemctl daemon-reload; systemctl start haproxy"
        lab_host.run(["sh", "-c", undo])
    finish(project, desk, lab_host, workstation, fresh)
