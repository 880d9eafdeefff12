"""The read-only commands: card, check, top, graph, explain, ssh and doctor."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from hosts import command
from hosts.host import Host
from sandbox import layout
from tests.conftest import long
from tests.e2e.conftest import ProjectCopy

pytestmark = pytest.mark.sandbox

PASSWORD = "Looking-4711-Glass"


@pytest.fixture(scope="module")
def tara(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """A lab that is up and post-installed."""
    project.write("tara", 83)
    project.pulumi("config", "set", "--secret", "grappe:password", PASSWORD, "-s", "tara")
    project.up("tara")
    yield project
    project.destroy("tara")


def lab(project: ProjectCopy, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["./lab", *words], cwd=project.folder, env=project.env, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False, timeout=120,
    )  # fmt: skip


def test_card_has_commands_urls_and_fingerprints(tara: ProjectCopy, lab_host: Host) -> None:
    """Its fingerprints are those of the servers' own host keys; it does not show the password."""
    output = lab(tara, "card", "tara").stdout
    for line in ("ssh -p 23042 tara@192.168.8.10", "https://yuno2.tara.grappe.test/",
                 "ssh-keygen -R '[192.168.8.10]:23043'", "drivers\\etc\\hosts",
                 "pulumi config get grappe:password -s tara"):  # fmt: skip
        assert line in output
    assert PASSWORD not in output
    own = ["lxc", "exec", "yuno1", "--project", "grappe-tara", "--", "ssh-keygen", "-lf",
           "/etc/ssh/ssh_host_ed25519_key.pub"]  # fmt: skip
    fingerprint = lab_host.run(own).stdout.split()[1]
    assert fingerprint in output
    cards = json.loads(lab(tara, "card", "tara", "--json").stdout)
    assert f"ED25519 {fingerprint}" in cards[0]["fingerprints"]


def test_card_of_a_lab_that_is_down_fails(tara: ProjectCopy) -> None:
    """Exit status 1; the error says that it is down, and how to bring it up."""
    tara.write("uma", 84)
    done = lab(tara, "card", "uma")
    assert (1, "") == (done.returncode, done.stdout)
    assert "uma is down" in done.stderr
    assert "./lab up uma" in done.stderr


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("lxc stop --force yuno2 --project grappe-tara", "the container is stopped, not running"),
        ("lxc exec yuno2 --project grappe-tara -- systemctl stop ssh.socket ssh", "ssh: "),
        ("iptables -t nat -F GRAPPE-DNAT", "ssh: "),
        long("systemctl stop haproxy", "http: "),
        long("lxc exec yuno2 --project grappe-tara -- systemctl stop nginx", "nginx does not run"),
        long("lxc exec yuno2 --project grappe-tara -- rm /etc/yunohost/installed",
             "and it was post-installed"),
    ],
)  # fmt: skip
def test_check_reports_a_fault_until_it_is_repaired(
    tara: ProjectCopy, lab_host: Host, damage: str, words: str
) -> None:
    """Exit status 1 with reason and remedy; 0 again after the remedy."""
    assert 0 == lab(tara, "check", "tara").returncode
    lab_host.run(["sh", "-c", damage])
    done = lab(tara, "check", "--all")
    assert 1 == done.returncode
    assert words in done.stdout
    assert "0 of 1 students ok." in done.stdout
    unit = damage.rsplit(maxsplit=1)[-1] if "systemctl stop" in damage and "yuno2" in damage else ""
    assert (f"-- systemctl restart {unit}" if unit else "./lab up tara") in done.stdout
    rows = json.loads(lab(tara, "check", "tara", "--json").stdout)["servers"]
    assert not all(row["well"] for row in rows)
    starts = "lxc exec yuno2 --project grappe-tara -- systemctl start ssh nginx; true"
    lab_host.run(["sh", "-c", starts])
    tara.lab("up", "tara")
    done = lab(tara, "check", "tara")
    assert (0, True) == (done.returncode, "1 of 1 students ok." in done.stdout)


def test_check_names_a_lost_address_and_its_remedy_works(tara: ProjectCopy, lab_host: Host) -> None:
    """A student flushed eth0 in the server; the printed command restores it."""
    inside = ["lxc", "exec", "yuno2", "--project", "grappe-tara", "--"]
    lab_host.run([*inside, "ip", "address", "flush", "dev", "eth0"])
    (row,) = (
        row for row in json.loads(lab(tara, "check", "tara", "--json").stdout)["servers"]
        if not row["well"]
    )  # fmt: skip
    assert "it has lost its address 10.64.83.11" in row["why"]
    lab_host.run(["sh", "-c", row["do"].removeprefix("on the lab host: ")])
    command.wait_until(
        lambda: lab(tara, "check", "tara").returncode == 0, what="the server", timeout=60
    )


def test_check_counts_drift_where_all_ways_answer(tara: ProjectCopy, lab_host: Host) -> None:
    """A line missing from before.rules and a changed limit count; `up` repairs both."""
    assert "drift" not in lab(tara, "check", "tara").stdout
    by_hand = (
        "sed -i /yuno1_ssh/d /etc/ufw/before.rules; "
        "lxc config set yuno2 limits.memory=500MiB --project grappe-tara"
    )
    lab_host.run(["sh", "-c", by_hand])
    done = lab(tara, "check", "tara")
    assert "! tara: drift: 1 container, 2 rules; details: ./lab preview tara" in done.stdout
    assert (0, True) == (done.returncode, "1 of 1 students ok." in done.stdout)
    found = json.loads(lab(tara, "check", "tara", "--json").stdout)["drift"]["tara"]
    assert any("limits.memory" in line for each in found for line in each["words"])
    tara.lab("up", "tara")
    assert "drift" not in lab(tara, "check", "tara").stdout


def test_check_without_the_host_exits_2(tara: ProjectCopy) -> None:
    """Exit status 2 is an error; 1 would be a finding."""
    tara.write("vera", 85, host="ssh://root@no-such-host.test")
    done = lab(tara, "check", "vera")
    assert 2 == done.returncode
    assert "vera is down" in done.stderr
    assert 2 == lab(tara, "check", "nobody").returncode
    assert 2 == lab(tara, "doctor", "ssh://root@no-such-host.test").returncode


def test_top_shows_processes_of_host_and_container(tara: ProjectCopy, lab_host: Host) -> None:
    """The host counts every container's processes; a container sees only its own."""
    output = lab(tara, "top", "tara").stdout
    assert "grappe-tara/yuno1" in output
    assert "The host's htop shows them all" in output
    facts = json.loads(lab(tara, "top", "tara", "--json").stdout)
    (counted,) = [c for c in facts["containers"] if c["name"] == "grappe-tara_yuno1"]
    inside = "lxc exec yuno1 --project grappe-tara -- sh -c 'ls -d /proc/[0-9]* | wc -l'"
    assert abs(counted["processes"] - int(lab_host.run(["sh", "-c", inside]).stdout)) <= 5
    example = facts["example"]
    assert example["outside"] != example["inside"]


def test_graph_and_explain_show_the_values_of_the_stack(tara: ProjectCopy) -> None:
    """Real addresses and ports; each resource with its lines of the sheet."""
    output = lab(tara, "graph", "tara").stdout
    assert "192.168.8.10:23042" in output
    assert "yuno1 10.64.83.10:22" in output
    output = lab(tara, "explain", "tara").stdout
    for line in ("-A PREROUTING -d 192.168.8.10/32", "acl yuno1_acl hdr(host) -i yuno1.tara",
                 "lxc launch standin yuno2", "yunohost tools postinstall --domain yuno1.tara",
                 "192.168.8.10  yuno2.tara.grappe.test"):  # fmt: skip
        assert line in output
    assert PASSWORD not in output


def test_lab_ssh_uses_the_port_of_the_student(tara: ProjectCopy, sandbox: layout.Layout) -> None:
    """It dials the forwarded port from the workstation; an unknown server is refused."""
    done = lab(tara, "ssh", "tara", "nope")
    assert 1 == done.returncode
    assert "its servers: yuno1, yuno2" in done.stderr
    done = lab(tara, "ssh", "tara", "yuno1", "--", "hostname")
    assert f"ip netns exec {sandbox.workstation} ssh -p 23042 tara@192.168.8.10" in done.stderr


CERTIFICATE = ("openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=x "
               "-keyout /etc/yunohost/certs/yuno1.tara.grappe.test/key.pem "
               "-out /etc/yunohost/certs/yuno1.tara.grappe.test/crt.pem 2>/dev/null; "
               "systemctl restart nginx")  # fmt: skip
IN = "lxc exec {} --project grappe-tara -- sh -c '{}'"
KEY = "/etc/ssh/ssh_host_ed25519_key"
# The command that plants a fault, and the words of doctor's finding.
FAULTS = {
    "systemctl disable grappe-nat 2>/dev/null": "grappe-nat.service is not enabled",
    "echo 0 > /proc/sys/net/ipv4/ip_forward": "the kernel does not forward packets",
    "for n in 1 2; do iptables -t nat -A PREROUTING -p tcp --dport 999 -j DNAT --to 10.0.0.1:22; done":
        "a rule is loaded 2 times",
    "iptables -t nat -D PREROUTING -j GRAPPE-DNAT": "PREROUTING has no jump to GRAPPE-DNAT",
    "lxc delete --force yuno2 --project grappe-tara": "leads to 10.64.83.11, where there is no container",
    "lxc project create grappe-ghost -c user.grappe.owner=grappe/ghost":
        "is of the stack grappe/ghost, which is not here",
    "systemctl stop haproxy": "HAProxy does not run",
    "cp /etc/haproxy/haproxy.cfg /root/cfg; echo nonsense >> /etc/haproxy/haproxy.cfg":
        "haproxy.cfg is not valid",
    "cp -p /etc/ufw/before.rules /root/rules; sed -i '/END GRAPPE/d' /etc/ufw/before.rules":
        "the managed part of /etc/ufw/before.rules is damaged",
    IN.format("yuno1", CERTIFICATE): "the certificate of grappe-tara/yuno1 ends in 2 days",
    "ufw --force disable": "UFW is disabled",
    "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 500000000)) /root/big":
        "the disk is almost full",
    "chmod a-x /etc/ufw/before.init": "before.init is not executable",
    "iptables -t raw -I PREROUTING -p tcp --dport 80 -j CT --notrack":
        "a rule before UFW's keeps people out of pages or servers",
    "iptables -I ufw-before-input -p tcp --dport 443 -j DROP":
        "-A ufw-before-input -p tcp -m tcp --dport 443 -j DROP",
    "iptables-legacy -A FORWARD -j DROP": "the chain FORWARD of iptables-legacy",
    "mkdir -p /etc/iptables; iptables-save > /etc/iptables/rules.v4":
        "rules.v4 has a copy of Grappe's rules",
    "systemctl disable haproxy 2>/dev/null": "haproxy.service is disabled",
}  # fmt: skip
MEND = (
    "iptables -D ufw-before-input -p tcp --dport 443 -j DROP; "
    "iptables -t raw -F; iptables-legacy -F; rm -r /etc/iptables; systemctl enable haproxy; "
    "rm -f /root/big; mv /root/cfg /etc/haproxy/haproxy.cfg; mv /root/rules /etc/ufw/before.rules; "
    "lxc project delete grappe-ghost; echo 1 > /proc/sys/net/ipv4/ip_forward; "
    "while iptables -t nat -D PREROUTING -p tcp --dport 999 -j DNAT --to 10.0.0.1:22; do :; done; "
    "chmod u+x /etc/ufw/before.init; ufw --force enable; systemctl enable grappe-nat"
)


def test_doctor_finds_planted_faults(tara: ProjectCopy, lab_host: Host) -> None:
    """No finding on a healthy host; then one for each planted fault, each with a remedy."""
    done = lab(tara, "doctor", "tara")
    assert (0, True) == (done.returncode, "nothing is wrong" in done.stdout), done.stdout
    assert "LXD's firewall driver: nftables" in done.stdout
    try:
        for fault in FAULTS:
            lab_host.run(["sh", "-c", fault])
        done = lab(tara, "doctor", "tara")
        assert 1 == done.returncode
        for words in FAULTS.values():
            assert words in done.stdout
        found = json.loads(lab(tara, "doctor", "tara", "--json").stdout)
        assert all(finding["do"] for finding in found)
        assert len(found) >= len(FAULTS)
    finally:
        lab_host.run(["sh", "-c", MEND], check=False)
    tara.up("tara")
    lab_host.run(["sh", "-c", "rm /root/new 2>/dev/null; true"])
    command.wait_until(
        lambda: "is of the stack" not in lab(tara, "doctor", "tara").stdout, what="mended",
        timeout=20,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        long(["ip", "link", "set", "gr-83", "down"], "its link is down"),
        # As a network manager does that takes over all interfaces.
        (["ip", "address", "flush", "dev", "gr-83"], "its address 10.64.83.1/24 is gone"),
    ],
)
def test_doctor_names_what_a_bridge_has_lost(
    tara: ProjectCopy, lab_host: Host, argv: list[str], words: str
) -> None:
    """An `up` repairs the bridge."""
    lab_host.run(argv)
    assert f"the bridge gr-83: {words}" in lab(tara, "doctor", "tara").stdout
    tara.up("tara")
    assert "gr-83" not in lab(tara, "doctor", "tara").stdout


def test_doctor_finds_two_servers_with_one_host_key(tara: ProjectCopy, lab_host: Host) -> None:
    """Either could impersonate the other."""
    there = "--project grappe-tara"
    copy = (
        f"lxc file pull yuno1{KEY} /root/k {there}; lxc file push /root/k yuno2{KEY} {there}; "
        "rm /root/k"
    )
    lab_host.run(["sh", "-c", f"{copy}; {IN.format('yuno2', 'systemctl restart ssh')}"])
    output = lab(tara, "doctor", "tara").stdout
    assert "grappe-tara/yuno1 and grappe-tara/yuno2 have the same host key" in output
