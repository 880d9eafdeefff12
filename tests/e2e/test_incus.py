"""The same labs on a lab host of Debian 13 with Incus, in a sandbox of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli import sandbox as commands
from hosts.host import Host
from sandbox import layout, lifecycle
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

PASSWORD = "Marked-4711-Passwort"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[layout.Layout]:
    """A sandbox with Incus, for this module alone."""
    made = layout.Layout("grappe-test-incus")
    commands.bring_up(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPPE_SANDBOX", made.name)
        patch.setenv("GRAPPE_SSH_CONFIG", str(made.ssh_config))
        yield made
    lifecycle.down(made)


def test_lab_comes_up_and_down_on_incus(
    project: ProjectCopy, client: Client, lab_host: Host, workstation: Host
) -> None:
    """A golden image, a student from it, post-installed; drift mended; and nothing is left."""
    before = inventory(lab_host, workstation)
    project.image("golden", recipe="standin", alias="golden")
    output = project.up("golden")
    assert "build-standin command | " in output
    project.up("golden", "--expect-no-changes")

    project.write("jana", 51, image="golden")
    project.pulumi("config", "set", "--secret", "grappe:password", PASSWORD, "-s", "jana")
    project.up("jana")
    servers = project.outputs("jana")["servers"]
    for server in servers:
        assert server["name"] == client.login("jana", server["ssh"]["port"], PASSWORD)
        assert {server["name"]} == {client.get(url) for url in server["urls"]}
    project.up("jana", "--expect-no-changes")

    enter = ["incus", "exec", "yuno1", "--project", "grappe-jana", "--"]
    lab_host.run([*enter, "systemctl", "stop", "nginx"])
    mends = " ".join([*enter, "systemctl", "restart", "nginx"])
    assert mends in project.lab("check", "jana", ok=False)
    lab_host.run(["incus", "stop", "--force", "yuno1", "--project", "grappe-jana"])
    lab_host.run(["incus", "config", "set", "yuno2", "limits.memory=77MiB", "--project",
                  "grappe-jana"])  # fmt: skip
    lab_host.run(["iptables", "-t", "nat", "-F", "GRAPPE-DNAT"])
    project.pulumi("preview", "--expect-no-changes", "-s", "jana", ok=False)
    project.up("jana")
    assert all({s["name"]} == {client.get(url) for url in s["urls"]} for s in servers)
    project.up("jana", "--expect-no-changes")

    project.destroy("jana")
    project.destroy("golden")
    assert before == inventory(lab_host, workstation)
