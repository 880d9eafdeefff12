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
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

SLOW_RELOAD = "/etc/systemd/system/haproxy.service.d/slow.conf"


def start(project: ProjectCopy) -> subprocess.Popen[bytes]:
    """Start an `up`, and return its engine."""
    argv = ["pulumi", *UP, "-s", "bob"]
    with (project.folder / "killed.log").open("wb") as log:
        return subprocess.Popen(argv, cwd=project.folder, env=project.env, stdout=log, stderr=log)


def project_processes(project: ProjectCopy) -> list[str]:
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
    """Kill the engine once `moment` holds; the processes that it started must end without help."""
    engine = start(project)
    try:
        command.wait_until(moment, what=what, timeout=60, pause=0.02)
        assert engine.poll() is None, (project.folder / "killed.log").read_text()
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    command.wait_until(
        lambda: not project_processes(project), what="the processes of a killed engine", timeout=15
    )


@pytest.fixture
def fresh(project: ProjectCopy, lab_host: Host, workstation: Host) -> dict[str, str]:
    """The inventory before the stack bob, whose file this writes."""
    before = inventory(lab_host, workstation)
    project.write("bob", 8)
    return before


def finish(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host,
    before: dict[str, str],
) -> None:  # fmt: skip
    """`./lab up` converges; after `down` no orphan is left."""
    project.lab("up", "bob")
    assert client.reaches(project.outputs("bob")["servers"])
    project.up("bob", "--expect-no-changes")
    project.lab("down", "bob", "--yes")
    assert before == inventory(lab_host, workstation)


@pytest.mark.long
def test_kill_before_the_first_resource_is_safe(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """The lock of the dead run is cleared."""
    locks = project.folder / ".state" / ".pulumi" / "locks"
    kill_when(project, lambda: any(locks.rglob("bob/*.json")), "the engine's lock")
    assert any(locks.rglob("bob/*.json"))
    finish(project, client, lab_host, workstation, fresh)


def test_kill_during_create_of_a_container_is_safe(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """The next `up` reuses the container that exists."""

    def there() -> bool:
        argv = ["lxc", "list", "--project", "grappe-bob", "--format", "csv", "--columns", "n"]
        return "yuno" in lab_host.run(argv, check=False).stdout

    kill_when(project, there, "a container of bob's")
    finish(project, client, lab_host, workstation, fresh)


@pytest.mark.long
def test_kill_between_two_resources_is_safe(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """The next `up` reuses what the killed run created and did not record."""
    path = "/var/lib/grappe/nat/fragments/grappe+bob+yuno1_ssh.json"
    kill_when(
        project, lambda: lab_host.run(["test", "-e", path], check=False).ok, "a rule of bob's"
    )
    finish(project, client, lab_host, workstation, fresh)


def test_kill_inside_a_transaction_is_safe(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host,
    fresh: dict[str, str],
) -> None:  # fmt: skip
    """Engine and remote worker die between rename and reload; the next run repairs it."""
    slow = "[Service]\nExecReload=\nExecReload=/bin/sleep 3\nExecReload=/bin/kill -USR2 $MAINPID\n"
    script = f"mkdir -p $(dirname {SLOW_RELOAD}) && cat > {SLOW_RELOAD} && systemctl daemon-reload"
    lab_host.run(["sh", "-ec", script], stdin=slow.encode())
    try:

        def swapped() -> bool:
            asks = "grep -q 'BEGIN GRAPPE' /etc/haproxy/haproxy.cfg && pgrep -x systemctl"
            return lab_host.run(["sh", "-c", asks], check=False).ok

        kill_when(project, swapped, "the new haproxy.cfg")
        # No worker may finish the transaction: end those that outlive the engine.
        pattern = "The program of the python that [a]nswers"
        lab_host.run(["pkill", "-9", "-f", pattern], check=False)
        command.wait_until(
            lambda: not lab_host.run(["pgrep", "-f", pattern], check=False).ok,
            what="the end of what ran on the host", timeout=10,
        )  # fmt: skip
    finally:
        undo = f"rm -r $(dirname {SLOW_RELOAD}); systemctl daemon-reload; systemctl start haproxy"
        lab_host.run(["sh", "-c", undo])
    finish(project, client, lab_host, workstation, fresh)
