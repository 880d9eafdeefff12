"""Adoption: a stack takes over containers, rules and routing made by hand from the lab sheet."""

from __future__ import annotations

import pytest

from hosts.host import Host
from tests.contract.fragment_hosts import DATA
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox

RULES, CONFIG = "/etc/ufw/before.rules", "/etc/haproxy/haproxy.cfg"
SERVERS = [
    {"name": f"yuno{number}", "port": 22221 + number, "domain": f"yuno{number}.contract.test"}
    for number in (1, 2)
]
LINES = [
    f"-A PREROUTING -d 192.168.8.10/32 -i eth0 -p tcp -m comment --comment yuno{number}_ssh "
    f"-m tcp --dport {22221 + number} -j DNAT --to-destination 10.79.159.{9 + number}:22"
    for number in (1, 2)
]


@pytest.fixture
def unmanaged_host(lab_host: Host) -> Host:
    """The lab host after the sheet: two containers, rules loaded twice, routing by ACLs."""
    table = "\n".join(["*nat", ":PREROUTING ACCEPT [0:0]", *LINES, "COMMIT", ""])
    lab_host.run(["sh", "-ec", f"cp -p {RULES} /root/rules; cp -p {CONFIG} /root/config; "
                  "for n in 1 2; do lxc launch standin yuno$n </dev/null; "
                  'lxc exec yuno$n -- sh -c "echo by hand $n > /root/note"; done'])  # fmt: skip
    lab_host.run(["sh", "-c", f"cat >> {RULES}"], stdin=table.encode())
    for _twice in range(2):
        lab_host.run(["iptables-restore", "-n"], stdin=table.encode())
    lab_host.run(["sh", "-c", f"cat >> {CONFIG} && systemctl restart haproxy"],
                 stdin=(DATA / "sheet.cfg").read_bytes())  # fmt: skip
    return lab_host


def test_manual_lab_of_the_sheet_is_adopted(
    project: ProjectCopy, unmanaged_host: Host, client: Client
) -> None:
    """Without `adopt` a preview refuses it; with `adopt` the servers keep their content."""
    project.write("karl", 61, servers=SERVERS)
    output = project.pulumi("preview", "-s", "karl", ok=False)
    assert "HAProxy needs a port that is in use: /etc/haproxy/haproxy.cfg:" in output
    assert "22222 is already redirected on the host: -A PREROUTING" in output

    project.write("karl", 61, servers=SERVERS[:1], adopt=True)
    output = " ".join(project.pulumi("preview", "-s", "karl", ok=False).split())
    assert "routes yuno2.contract.test by hand, which no server of the lab has" in output

    project.write("karl", 61, servers=SERVERS, adopt=True)
    project.up("karl")
    assert client.reaches(project.outputs("karl")["servers"])
    for number in (1, 2):
        argv = [
            "lxc",
            "exec",
            f"yuno{number}",
            "--project",
            "grappe-karl",
            "--",
            "cat",
            "/root/note",
        ]
        assert f"by hand {number}\n" == unmanaged_host.run(argv).stdout
    live = unmanaged_host.run(["iptables", "-t", "nat", "-S", "PREROUTING"]).stdout
    assert "DNAT --to-destination" not in live
    assert not any(line in unmanaged_host.run(["cat", RULES]).stdout for line in LINES)
    assert "https_sni_balancing" not in unmanaged_host.run(["cat", CONFIG]).stdout
    project.up("karl", "--expect-no-changes")

    (project.folder / "stacks" / "Pulumi.karl.yaml").rename(project.folder / "karl.yaml")
    project.write("lena", 62, servers=[{"name": "yuno1"}], adopt=True, student="karl")
    output = " ".join(project.pulumi("preview", "-s", "lena", ok=False).split())
    assert "karl's (stack grappe/karl)" in output
    (project.folder / "karl.yaml").rename(project.folder / "stacks" / "Pulumi.karl.yaml")

    project.destroy("karl")
    unmanaged_host.run(["sh", "-ec", f"mv /root/rules {RULES}; mv /root/config {CONFIG}; "
                 "systemctl reload-or-restart haproxy || systemctl stop haproxy"])  # fmt: skip
