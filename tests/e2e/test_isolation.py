"""Isolation of students' servers, tried from inside one; quotas and disk sizes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts import command, connections
from sandbox import layout, lifecycle
from tests.conftest import long
from tests.e2e.conftest import ProjectCopy

pytestmark = pytest.mark.sandbox

QUOTA = {"containers": 2, "cpu": 2, "memory": "1GiB", "disk": "2GiB"}
# Sends each address a UDP datagram, and a packet of protocol 253, reserved for experiments.
SENDS = """
import socket, sys
for to in sys.argv[1:]:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (to, 9999))
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 253).sendto(b"x", (to, 0))
"""
# Whether something answers at an address and a port, within two seconds.
DIAL = "(timeout 2 bash -c 'exec 3<>/dev/tcp/{0}/{1}' 2>/dev/null && echo {0} {1}) &"


@pytest.fixture(scope="module")
def class_of_two(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """Nora, with two servers and a quota, and Omar with one server."""
    project.write(
        "nora", 71, quota=QUOTA, limits={"memory": "512MiB", "cpu": "1"}, disk="1GiB",
        workstation="none",
    )  # fmt: skip
    project.write("omar", 72, servers=[{"name": "yuno1"}], workstation="none")
    project.up("nora")
    project.up("omar")
    yield project
    project.destroy("nora")
    project.destroy("omar")


def inside(sandbox: layout.Layout, script: str, server: str = "yuno1") -> str:
    argv = ["lxc", "exec", server, "--project", "grappe-nora", "--", "sh", "-c", script]
    return connections.connect(sandbox.host_url).run(argv, check=False).stdout.strip()


def reached(sandbox: layout.Layout, *ways: tuple[str, int]) -> list[tuple[str, int]]:
    """Return what of some addresses and ports answers to the first server of Nora's."""
    script = "\n".join(DIAL.format(*way) for way in ways)
    answers = inside(sandbox, f"{script}\nwait; echo tried").splitlines()
    assert "tried" == answers.pop()
    return [way for way in ways if f"{way[0]} {way[1]}" in answers]


def assert_isolated(sandbox: layout.Layout) -> None:
    """Assert that Nora's server reaches its neighbour and DNS, not the host nor Omar's server."""
    host = layout.HOST_ADDRESS
    closed = [
        *(("10.64.72.10", port) for port in (22, 80, 443)),
        # The host by its bridges' addresses, by its own, and by the ports that lead to servers.
        *(("10.64.71.1", port) for port in (22, 80, 443, 8443)),
        *(("10.64.72.1", port) for port in (22, 80)),
        *((host, port) for port in (22, 80, 443, 22922, 22932)),
    ]
    assert [] == reached(sandbox, *closed)
    neighbour = [("10.64.71.11", port) for port in (22, 80, 443)]
    assert [*neighbour, ("10.64.71.1", 53)] == reached(sandbox, *neighbour, ("10.64.71.1", 53))
    # Other protocols neither: no ping and no datagram reaches the host or Omar's server.
    pings = "".join(f"ping -c 1 -W 1 {to} >/dev/null && echo {to}\n" for to in (
        "10.64.71.1", "10.64.72.1", "10.64.72.10", host, "10.64.71.11"))  # fmt: skip
    assert "10.64.71.11" == inside(sandbox, pings)
    before = dropped(sandbox)
    inside(sandbox, f"python3 -c '{SENDS}' 10.64.72.10 10.64.71.1 {host}")
    assert before + 6 == dropped(sandbox)
    # A domain of the lab leads straight to its server; another student's is not known. A YunoHost
    # asks its own DNS from the start.
    assert "nameserver 127.0.0.1" == inside(sandbox, "cat /etc/resolv.conf").strip()
    for name, address in (("yuno1", "10.64.71.10"), ("yuno2", "10.64.71.11")):
        assert inside(sandbox, f"getent ahostsv4 {name}.nora.grappe.test").startswith(address)
    assert "" == inside(sandbox, "timeout 3 getent ahostsv4 yuno1.omar.grappe.test")
    # No way round by IPv6: the host has no address of it on the bridge.
    addresses = "ip -6 -o address show dev gr-71"
    assert "" == connections.connect(sandbox.host_url).run(["sh", "-c", addresses]).stdout


def dropped(sandbox: layout.Layout) -> int:
    """Return how many packets the isolation has dropped."""
    script = "iptables -w -nvxL GRAPPE-INPUT; iptables -w -nvxL GRAPPE-FORWARD"
    listed = connections.connect(sandbox.host_url).run(["sh", "-c", script]).stdout
    lines = [line.split() for line in listed.splitlines()]
    return sum(int(line[0]) for line in lines if line[2:3] == ["DROP"])


def wait_for_servers(sandbox: layout.Layout) -> None:
    """Wait until Nora's second server accepts SSH from the first."""

    def there() -> bool:
        try:
            return [("10.64.71.11", 22)] == reached(sandbox, ("10.64.71.11", 22))
        except Exception:  # noqa: BLE001 - not yet
            return False

    command.wait_until(there, what="Nora's servers", timeout=60, pause=0.5)


@pytest.fixture(params=[long("xtables"), "nftables"])
def driver(request: pytest.FixtureRequest, sandbox: layout.Layout) -> Iterator[str]:
    """LXD with each of its firewall drivers; without an `nft` program it takes xtables."""
    host = connections.connect(sandbox.host_url)
    if request.param == "xtables":
        host.run(["sh", "-c", "mv /usr/sbin/nft /usr/sbin/nft.away; systemctl restart lxd"])
    else:
        # The rules of iptables make LXD choose xtables, which is older: it starts before them.
        host.run(["sh", "-c", "systemctl stop lxd lxd.socket; systemctl start lxd.socket lxd"])
    yield request.param
    host = connections.connect(sandbox.host_url)
    host.run(["sh", "-c", "test ! -e /usr/sbin/nft.away || mv /usr/sbin/nft.away /usr/sbin/nft"])
    host.run(["systemctl", "restart", "lxd"])
    wait_for_servers(sandbox)


def test_servers_of_two_students_do_not_reach_each_other(
    class_of_two: ProjectCopy, sandbox: layout.Layout, driver: str
) -> None:
    """At once, after a restart of LXD alone, and after a reboot of the host."""
    host = connections.connect(sandbox.host_url)
    host.run(["lxd", "waitready", "--timeout=60"])
    assert f"firewall: {driver}" in host.run(["lxc", "info"]).stdout
    wait_for_servers(sandbox)
    assert_isolated(sandbox)
    host.run(["systemctl", "restart", "lxd"])
    wait_for_servers(sandbox)
    assert_isolated(sandbox)
    connections.close_all()
    lifecycle.restart(sandbox)
    wait_for_servers(sandbox)
    host = connections.connect(sandbox.host_url)
    assert f"firewall: {driver}" in host.run(["lxc", "info"]).stdout
    assert_isolated(sandbox)
    class_of_two.up("nora", "--expect-no-changes")


def test_ipv6_enabled_by_hand_stays_blocked(
    class_of_two: ProjectCopy, sandbox: layout.Layout
) -> None:
    """A student sets a link-local address as root; the host's address on the bridge is silent."""
    host = connections.connect(sandbox.host_url)
    wait_for_servers(sandbox)
    before = host.run(["sysctl", "-n", "net.ipv6.conf.all.disable_ipv6"]).stdout.strip()
    host.run(["sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=0"])
    try:
        listed = host.run(["sh", "-c", "ip -6 -o address show dev gr-71 | grep -o 'fe80[^/]*'"])
        address = listed.stdout.split()[0]
        inside(
            sandbox,
            "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip -6 addr add fe80::77/64 dev eth0 nodad",
        )
        assert "fe80::77" in inside(sandbox, "ip -6 -o address show dev eth0")
        assert [] == reached(sandbox, (f"{address}%eth0", 22))
        assert "" == inside(sandbox, f"ping -c 2 -W 1 {address}%eth0 >/dev/null && echo answers")
        class_of_two.up("nora", "--expect-no-changes")
        host.run(["sh", "-c", "for c in INPUT FORWARD; do ip6tables -D $c -i gr-+ -j DROP; done"])
        assert "answers" == inside(
            sandbox, f"ping -c 2 -W 1 {address}%eth0 >/dev/null && echo answers"
        )
        class_of_two.up("nora")
        assert "" == inside(sandbox, f"ping -c 2 -W 1 {address}%eth0 >/dev/null && echo answers")
    finally:
        for name, value in (("all", before), ("gr-71", "1"), ("gr-72", "1")):
            host.run(["sysctl", "-w", f"net.ipv6.conf.{name}.disable_ipv6={value}"])


def test_quota_and_disk_size_limit_a_student(
    class_of_two: ProjectCopy, sandbox: layout.Layout
) -> None:
    """LXD refuses more memory and a third server; a disk with a size is full at that size."""
    host = connections.connect(sandbox.host_url)
    shown = host.run(["lxc", "project", "show", "grappe-nora"]).stdout
    for line in ('limits.containers: "2"', "limits.memory: 1GiB", "limits.disk: 2GiB"):
        assert line in shown
    more = ["lxc", "config", "set", "yuno1", "limits.memory=2GiB", "--project", "grappe-nora"]
    refused = host.run(more, check=False)
    assert not refused.ok
    assert "limits.memory" in refused.stderr
    third = ["lxc", "launch", "standin", "yuno3", "--project", "grappe-nora"]
    assert not host.run(third, check=False).ok
    fill = (
        "dd if=/dev/zero of=/srv/big bs=1M count=1500 2>&1 | grep -o 'quota exceeded'; rm /srv/big"
    )
    assert "quota exceeded" in inside(sandbox, fill)


# A machine on the host's own private bridge, with a page at 9080.
PRIVATE = """
bridge=$(ip -4 -o address show lxdbr0 | awk '{print $4}' | cut -d/ -f1); to=${bridge%.*}.5
ip netns add private; ip link add private0 type veth peer name private1
ip link set private0 master lxdbr0 up; ip link set private1 netns private
ip -n private address add $to/24 dev private1; ip -n private link set private1 up
ip -n private route add default via $bridge
ip netns exec private systemd-run -q --unit private --property NetworkNamespacePath=/run/netns/private \
  python3 -m http.server 9080 --directory /etc/skel
echo $to
"""
REMOVE_PRIVATE = "systemctl stop private; ip netns delete private"


def test_private_networks_of_the_host_are_left_to_ufw(
    class_of_two: ProjectCopy, sandbox: layout.Layout
) -> None:
    """Servers reach a machine on lxdbr0 only after `ufw route allow`; UFW's default denies it."""
    host = connections.connect(sandbox.host_url)
    allow = "allow in on gr-71 out on lxdbr0"
    to = host.run(["bash", "-ec", PRIVATE]).stdout.strip()
    try:
        way = (to, 9080)
        there = f"until timeout 1 bash -c 'exec 3<>/dev/tcp/{to}/9080'; do sleep 0.2; done"
        host.run(["timeout", "20", "bash", "-c", there])
        assert [] == reached(sandbox, way)
        host.run(["sh", "-c", f"ufw route {allow}"])
        assert [way] == reached(sandbox, way)
    finally:
        host.run(["sh", "-c", f"ufw route delete {allow}; {REMOVE_PRIVATE}"], check=False)
    class_of_two.up("nora", "--expect-no-changes")
