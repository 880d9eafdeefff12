"""A changed `grappe:host`: the same machine, another machine, a machine that is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts.host import Host
from sandbox import layout, lifecycle, machine
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def other(project: ProjectCopy) -> Iterator[layout.Layout]:
    """A second lab host, in a sandbox of its own."""
    made = layout.Layout("grappe-other")
    lifecycle.down(made)
    lifecycle.up(made, lambda _text: None)
    lifecycle.import_image(made)
    # One ssh_config that knows both.
    config = project.folder / "ssh_config"
    config.write_text(made.ssh_config.read_text() + project.layout.ssh_config.read_text())
    project.env["GRAPPE_SSH_CONFIG"] = str(config)
    yield made
    lifecycle.down(made)


def test_same_machine_under_another_url_is_an_update(
    project: ProjectCopy, client: Client, lab_host: Host
) -> None:
    """As another user, who works through sudo: nothing is replaced."""
    project.write("gina", 31, servers=[{"name": "yuno1"}])
    project.up("gina")
    project.write(
        "gina", 31, servers=[{"name": "yuno1"}], host=f"ssh://teacher@{project.layout.host}"
    )
    output = project.up("gina")
    assert "replaced" not in output
    assert "deleted" not in output
    assert client.reaches(project.outputs("gina")["servers"])
    project.up("gina", "--expect-no-changes")
    # And what only root may do is done by sudo.
    lab_host.run(["lxc", "delete", "--force", "yuno1", "--project", "grappe-gina"])
    lab_host.run(["iptables", "-t", "nat", "-F", "GRAPPE-DNAT"])
    project.up("gina")
    assert client.reaches(project.outputs("gina")["servers"])


def test_another_machine_is_a_replacement(
    project: ProjectCopy, lab_host: Host, other: layout.Layout
) -> None:
    """Deleted on the old one, made on the new one."""
    servers = [{"name": "yuno1"}]
    project.write(
        "gina", 31, servers=servers, host=other.host_url, workstation=other.workstation_url
    )
    output = project.up("gina")
    assert "replaced" in output
    listing = ["lxc", "list", "--all-projects", "--format", "csv", "--columns", "n"]
    assert "" == lab_host.run(listing).stdout.strip()
    assert "" == lab_host.run(["sh", "-c", "ls -d /var/lib/grappe* 2>/dev/null; true"]).stdout
    assert "yuno1" == machine.ssh(other, *listing).stdout.strip()


def test_lost_machine_is_forgotten_by_command(
    project: ProjectCopy, client: Client, other: layout.Layout
) -> None:
    """The error names both hosts and `./lab forget`; then `up` creates the lab on the new one."""
    machine.kill(other.lab_host)
    project.write("gina", 31, servers=[{"name": "yuno1"}])
    output = project.up("gina", ok=False)
    assert f"was made on {other.host_url}, which does not answer" in output
    assert f"the stack file now names {project.layout.host_url}" in output
    assert "./lab forget gina" in output
    project.lab("forget", "gina", "--yes")
    project.up("gina")
    assert client.reaches(project.outputs("gina")["servers"])
    project.destroy("gina")
