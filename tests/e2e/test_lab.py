"""A student's lab: preview, up, drift and its repair, live changes, and down."""

from __future__ import annotations

import pytest
import testinfra.host

from hosts import connections
from hosts.host import Host
from remote import haproxy_maps
from sandbox import layout
from tests.conftest import long
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def before(sandbox: layout.Layout) -> dict[str, str]:
    """The host before the first student."""
    return inventory(
        connections.connect(sandbox.host_url), connections.connect(sandbox.workstation_url)
    )


def test_preview_on_an_empty_host_changes_nothing(
    project: ProjectCopy, before: dict[str, str], lab_host: Host, workstation: Host
) -> None:
    """It changes nothing, and shows every name, address, port and domain."""
    project.write("alice", 7)
    output = project.pulumi("preview", "--diff", "-s", "alice")
    for value in (
        "gr-7", "10.64.7.1/24", "grappe-alice", "10.64.7.10", "10.64.7.11", "22282", "22283",
        "yuno1.alice.grappe.test", "yuno2.alice.grappe.test", "192.168.8.10",
    ):  # fmt: skip
        assert value in output
    # Only the container's id is unknown before it is created.
    unknown = {line.split()[0] for line in output.splitlines() if "unknown" in line.lower()}
    assert unknown == {"container_id:"}
    assert before == inventory(lab_host, workstation)


@pytest.fixture(scope="module")
def alice(project: ProjectCopy, before: dict[str, str]) -> str:
    """Her lab, up; the last test of this file takes it down."""
    del before
    project.write("alice", 7)
    project.up("alice")
    return "alice"


@pytest.mark.usefixtures("alice")
def test_second_up_has_nothing_to_do(project: ProjectCopy, client: Client) -> None:
    """SSH and URLs reach each server; a second `up` and a preview find no change."""
    servers = project.outputs("alice")["servers"]
    assert ["yuno1", "yuno2"] == [server["name"] for server in servers]
    assert {"host": "192.168.8.10", "port": 22282, "user": "admin"} == servers[0]["ssh"]
    assert client.reaches(servers)
    project.up("alice", "--expect-no-changes")
    project.pulumi("preview", "--expect-no-changes", "-s", "alice")


def test_host_matches_the_lab_sheet(project: ProjectCopy, host: testinfra.host.Host) -> None:
    """Rules, routes, bridge and services are those of the sheet, with their files' modes."""
    assert "yuno1_ssh" in host.check_output("iptables -t nat -L GRAPPE-DNAT")
    assert host.file("/etc/ufw/before.rules").contains("--to-destination 10.64.7.10:22")
    assert host.file("/etc/ufw/before.rules").mode == 0o640
    assert host.file("/etc/ufw/before.init").mode == 0o750
    assert host.service("haproxy").is_running
    assert host.socket("tcp://0.0.0.0:80").is_listening
    assert host.socket("tcp://0.0.0.0:443").is_listening
    assert host.file(haproxy_maps.ROUTES).contains("yuno2.alice.grappe.test 10.64.7.11")
    assert host.interface("gr-7").addresses[0] == "10.64.7.1"
    assert host.service("grappe-nat").is_enabled


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("lxc stop --force yuno1 --project grappe-alice", id="a container stopped"),
        pytest.param("lxc delete --force yuno1 --project grappe-alice", id="a container deleted"),
        long(
            "lxc config set yuno1 limits.memory=77MiB --project grappe-alice",
            id="a container reconfigured",
        ),
        pytest.param("iptables -t nat -F GRAPPE-DNAT", id="a rule deleted live"),
        long("iptables -t nat -F PREROUTING", id="the jump deleted live"),
        long("iptables -F GRAPPE-FORWARD", id="the filter chain flushed"),
        long("sed -i '/dport 22282/d' /etc/ufw/before.rules", id="a rule deleted in the file"),
        pytest.param(
            "sed -i '/BEGIN GRAPPE/,/END GRAPPE/d' /etc/ufw/before.rules",
            id="the part of before.rules removed",
        ),
        long(
            "sed -i '/BEGIN GRAPPE/,/END GRAPPE/d' /etc/ufw/before.init",
            id="the part of before.init removed",
        ),
        long(
            "rm /var/lib/grappe/nat/fragments/grappe+alice+yuno1_ssh.json", id="a fragment removed"
        ),
        pytest.param(
            "sed -i s/22282/22299/ /var/lib/grappe/nat/fragments/grappe+alice+yuno1_ssh.json",
            id="a fragment edited",
        ),
        long(f"sed -i s/10.64.7.10/10.64.7.99/ {haproxy_maps.ROUTES}", id="a route edited"),
        pytest.param(
            "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); "
            f's.connect("/run/haproxy/grappe.sock"); s.sendall(b"clear map {haproxy_maps.ROUTES}\\n"); '
            "s.recv(9)'",
            id="a route deleted live",
        ),
        long(
            "sed -i '/BEGIN GRAPPE/,/END GRAPPE/d' "
            "/etc/haproxy/haproxy.cfg && systemctl reload haproxy",
            id="the part of haproxy.cfg removed and reloaded",
        ),
        long(f"rm {haproxy_maps.ROUTES} {haproxy_maps.STATES}", id="the maps removed"),
        long(f"echo >> {haproxy_maps.page(haproxy_maps.STOPPED)}", id="a page edited"),
        pytest.param(
            "nft list ruleset | grep -q masquerade; nft flush chain inet lxd pstrt.gr-7",
            id="LXD's masquerade flushed",
        ),
        long("systemctl stop haproxy", id="HAProxy stopped"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_up_repairs_damage_on_the_host(
    project: ProjectCopy, client: Client, lab_host: Host, damage: str
) -> None:
    """A preview reports the drift; a plain `up` repairs it, and every server is reachable."""
    lab_host.run(["sh", "-ec", damage])
    seen = project.pulumi("preview", "--expect-no-changes", "-s", "alice", ok=False)
    assert "no changes were expected" in seen
    assert "has drifted: " in seen
    project.up("alice")
    assert client.reaches(project.outputs("alice")["servers"])


def test_up_after_all_repairs_has_nothing_to_do(project: ProjectCopy) -> None:
    """No repair left drift behind."""
    project.up("alice", "--expect-no-changes")


def test_up_repairs_the_hosts_entries(
    project: ProjectCopy, client: Client, workstation: Host
) -> None:
    """A hosts entry that was changed comes back."""
    path = workstation.etc_hosts
    connections.connect("local:").run(
        ["sed", "-i", "s/^192.168.8.10\tyuno1/192.168.8.99\tyuno1/", path]
    )
    assert "192.168.8.99" in client.run("getent", "hosts", "yuno1.alice.grappe.test")
    project.up("alice")
    assert client.reaches(project.outputs("alice")["servers"])


def test_live_changes_keep_the_container(project: ProjectCopy, lab_host: Host) -> None:
    """Limits change in place: the same container goes on."""
    argv = ["lxc", "query", "/1.0/instances/yuno1?project=grappe-alice"]
    created = lab_host.run(["sh", "-c", " ".join(argv[:2]) + f" '{argv[2]}' | grep created_at"])
    project.write("alice", 7, limits={"memory": "400MiB"})
    output = project.up("alice")
    assert "updated" in output
    assert "replaced" not in output
    again = lab_host.run(["sh", "-c", " ".join(argv[:2]) + f" '{argv[2]}' | grep created_at"])
    assert created.stdout == again.stdout
    config = lab_host.run(["lxc", "config", "get", "yuno1", "limits.memory", "--project",
                           "grappe-alice"])  # fmt: skip
    assert "400MiB" == config.stdout.strip()


def test_stopped_server_has_a_page_then_answers_at_once(
    project: ProjectCopy, client: Client, lab_host: Host
) -> None:
    """HAProxy sends 503 at once, and logs no emergency to the host's terminals."""
    page = project.outputs("alice")["servers"][0]["urls"][0]
    begun = lab_host.run(["date", "+@%s"]).stdout.strip()
    lab_host.run(["lxc", "stop", "--force", "yuno1", "--project", "grappe-alice"])
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "4", page]
    assert ["503"] * 3 == [client.run(*argv) for _turn in range(3)]
    lab_host.run(["lxc", "start", "yuno1", "--project", "grappe-alice"])
    back = "until (exec 3<>/dev/tcp/10.64.7.10/80) 2>/dev/null; do sleep 0.1; done"
    lab_host.run(["timeout", "50", "bash", "-c", back])
    assert "yuno1" == client.get(page)
    messages = lab_host.run(["journalctl", "--quiet", "--since", begun, "--priority", "emerg"])
    assert "" == messages.stdout


def test_destroy_restores_the_host(
    project: ProjectCopy, before: dict[str, str], lab_host: Host, workstation: Host
) -> None:
    """Files byte for byte with mode and owner, rules, LXD's inventories, units and ports."""
    project.destroy("alice")
    assert before == inventory(lab_host, workstation)
