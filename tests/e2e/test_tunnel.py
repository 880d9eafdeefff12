"""The tunnel to the relay: forwards, drift, reconnection, host keys and refused settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import errors
from hosts import command, connections
from hosts.host import Host
from sandbox import layout
from tests.conftest import long
from tests.e2e.conftest import ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

HTTP, HTTPS = 8080, 8443
UNIT = "grappe-tunnel-paul"


@pytest.fixture
def relay(sandbox: layout.Layout) -> Host:
    """The server on the internet."""
    return connections.connect(sandbox.relay_url)


@pytest.fixture(scope="module")
def paul(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """A lab with a tunnel, up."""
    project.write("paul", 73, tunnel={"relay": project.layout.relay_url}, workstation="none")
    project.up("paul")
    yield project
    project.destroy("paul")


def answer(relay: Host, port: int, server: str = "yuno1") -> str:
    """Load a page as somebody on the internet does; return which server answered."""
    domain, scheme = f"{server}.paul.grappe.test", "https" if port == HTTPS else "http"
    resolve = f"{domain}:{port}:{layout.RELAY_ADDRESS}"
    argv = ["curl", "-sk", "--max-time", "5", "--resolve", resolve, "-o", "/dev/null",
            "-w", "%header{x-served-by}", f"{scheme}://{domain}:{port}/"]  # fmt: skip
    return command.execute(["ip", "netns", "exec", relay.parsed_url.name, *argv], timeout=10).stdout


def all_answers(relay: Host) -> list[str]:
    return [answer(relay, port, name) for port in (HTTP, HTTPS) for name in ("yuno1", "yuno2")]


def test_domains_answer_on_the_relay(paul: ProjectCopy, relay: Host, lab_host: Host) -> None:
    """HTTP and HTTPS reach each server; a second `up` has nothing to do."""
    assert ["yuno1", "yuno2"] * 2 == all_answers(relay)
    paul.up("paul", "--expect-no-changes")
    shown = lab_host.run(["systemctl", "show", UNIT, "-p", "User,Restart"]).stdout
    assert ["Restart=always", "User=grappe-tunnel"] == sorted(shown.split())


def test_relay_ports_80_and_443_serve_redirects(paul: ProjectCopy, relay: Host) -> None:
    """If the relay lets users bind ports from 80 on; otherwise a preview refuses them."""
    follow = ["-L", "-o", "/dev/null", "-w", "%{http_code}"]
    domain = "yuno1.paul.grappe.test"
    resolve = [
        word
        for port in (80, 443, HTTP)
        for word in ("--resolve", f"{domain}:{port}:{layout.RELAY_ADDRESS}")
    ]
    into = ["ip", "netns", "exec", relay.parsed_url.name, "curl", "-sk", "--max-time", "5"]

    def admin(port: str) -> str:
        url = f"http://{domain}{port}/yunohost/admin"
        return command.execute([*into, *resolve, *follow, url], timeout=20).stdout

    # The server redirects to a port that the relay does not forward.
    assert "302" == admin(":8080")
    assert "yuno1" == answer(relay, HTTP)
    usual = [{"listen": 80, "port": 80}, {"listen": 443, "port": 443}]
    tunnel = {"relay": paul.layout.relay_url, "forwards": usual}
    paul.write("paul", 73, tunnel=tunnel, workstation="none")
    output = paul.pulumi("preview", "-s", "paul", ok=False)
    assert "80 is root's alone on the relay" in output
    key = "net.ipv4.ip_unprivileged_port_start"
    relay.run(["sysctl", "-qw", f"{key}=80"])
    try:
        paul.up("paul")
        assert "200" == admin("")
    finally:
        paul.write("paul", 73, tunnel={"relay": paul.layout.relay_url}, workstation="none")
        paul.up("paul")
        relay.run(["sysctl", "-qw", f"{key}=1024"])


def test_tunnel_key_permits_only_its_forwards(
    paul: ProjectCopy, relay: Host, lab_host: Host
) -> None:
    """The key opens no shell, no other port, and nothing behind the relay."""
    home = "/var/lib/grappe-tunnel/paul"
    ssh = (f"timeout 5 ssh -F none -i {home}/key -o BatchMode=yes -o UserKnownHostsFile="
           f"{home}/known_hosts -o ExitOnForwardFailure=yes")  # fmt: skip
    to = f"grappe-tunnel@{layout.RELAY_ADDRESS}"
    for attempt in (f"{ssh} {to} id", f"{ssh} -N -R '*:9999:127.0.0.1:80' {to}",
                    f"{ssh} -W 127.0.0.1:22 {to} </dev/null"):  # fmt: skip
        done = lab_host.run(["sh", "-c", attempt], check=False)
        # 124: the connection stayed open until `timeout` ended it.
        assert done.status not in {0, 124}, attempt
        assert "uid=" not in done.stdout
    assert "9999" not in relay.run(["ss", "-Hltn"]).stdout


def test_cut_connection_is_restored(paul: ProjectCopy, relay: Host, sandbox: layout.Layout) -> None:
    """A running unit that forwards nothing is drift; ssh reconnects without an `up`."""
    link = ["ip", "-n", sandbox.host, "link", "set", "eth1"]
    command.execute([*link, "down"])
    try:
        assert "" == answer(relay, HTTP)
        output = paul.pulumi("preview", "--expect-no-changes", "-s", "paul", ok=False)
        assert "port 8080 of the relay carries nothing" in output
    finally:
        command.execute([*link, "up"])
    command.wait_until(
        lambda: all_answers(relay) == ["yuno1", "yuno2"] * 2, what="the tunnel to heal", timeout=60,
        pause=0.5,
    )  # fmt: skip
    paul.up("paul", "--expect-no-changes")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (f"systemctl stop {UNIT}", "is not active"),
        (f"sed -i s/8080/8081/ /etc/systemd/system/{UNIT}.service", "was changed by hand"),
        (f"rm /etc/systemd/system/{UNIT}.service", "it is missing"),
        ("rm /var/lib/grappe-tunnel/paul/known_hosts", "pinned host key was changed by hand"),
    ],
)
def test_damaged_tunnel_is_drift_and_is_repaired(
    paul: ProjectCopy, relay: Host, lab_host: Host, damage: str, words: str
) -> None:
    """A preview names the damage; `up` repairs it."""
    lab_host.run(["sh", "-c", damage])
    assert words in paul.pulumi("preview", "--expect-no-changes", "-s", "paul", ok=False)
    paul.up("paul")
    assert ["yuno1", "yuno2"] * 2 == all_answers(relay)


def test_relay_grant_removed_by_hand_is_restored(paul: ProjectCopy, relay: Host) -> None:
    """A preview reports the drift; `up` writes the grant again."""
    relay.run(["sh", "-c", ": > /etc/ssh/grappe-tunnel.keys; pkill -u grappe-tunnel"])
    output = paul.pulumi("preview", "--expect-no-changes", "-s", "paul", ok=False)
    assert "/etc/ssh/grappe-tunnel.keys was changed by hand" in output
    paul.up("paul")
    assert ["yuno1", "yuno2"] * 2 == all_answers(relay)


def test_changed_host_key_of_the_relay_is_refused(
    paul: ProjectCopy, relay: Host, lab_host: Host, sandbox: layout.Layout
) -> None:
    """The tunnel's ssh refuses it and logs why; a preview refuses the relay too."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    relay.run(["sh", "-ec", f"cp -p {key} /root/k; cp -p {key}.pub /root/p; rm {key} {key}.pub; "
               f"ssh-keygen -q -t ed25519 -N '' -f {key}; systemctl restart ssh; "
               "pkill -u grappe-tunnel"])  # fmt: skip
    try:

        def logged() -> bool:
            output = lab_host.run(["journalctl", "-u", UNIT, "-n", "20", "-o", "cat"]).stdout
            return "REMOTE HOST IDENTIFICATION HAS CHANGED" in output

        command.wait_until(logged, what="ssh to refuse the key", timeout=30)
        assert "" == answer(relay, HTTP)
        connections.close_all()
        output = " ".join(paul.pulumi("preview", "-s", "paul", ok=False).split())
        assert "its host key is not the one in known_hosts" in output
    finally:
        # By the namespace, for no key of this sandbox opens the relay now.
        back = f"mv /root/k {key}; mv /root/p {key}.pub; systemctl restart ssh"
        argv = ["ssh", "-F", str(sandbox.ssh_config), "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", sandbox.relay, back]  # fmt: skip
        assert command.execute(argv, timeout=30).ok
    connections.close_all()
    paul.up("paul")
    assert ["yuno1", "yuno2"] * 2 == all_answers(connections.connect(sandbox.relay_url))


def test_preview_refuses_bad_tunnel_settings(
    paul: ProjectCopy, relay: Host, sandbox: layout.Layout
) -> None:
    """Ports that another student holds, that a program holds, that are root's; no relay at all."""
    forwards = [
        {"listen": HTTP, "port": 80},
        {"listen": 443, "port": 443},
        {"listen": 22, "port": 22, "server": "yuno1"},
    ]
    paul.write("quinn", 74, tunnel={"relay": sandbox.relay_url, "forwards": forwards})
    output = " ".join(paul.pulumi("preview", "-s", "quinn", ok=False).split())
    assert "8080 of the relay is paul's (stack grappe/paul)" in output
    assert "443 is root's alone on the relay" in output
    assert "22 is in use on the relay, by sshd" in output
    paul.write("quinn", 74, tunnel={"relay": "ssh://root@no-such-relay.test"})
    output = paul.pulumi("preview", "-s", "quinn", ok=False)
    assert "grappe:tunnel.relay" in output
    assert "the name is not known" in output


@pytest.mark.parametrize(
    ("deny", "words"),
    [
        ("DisableForwarding yes\\nMatch all\\n", ["it has DisableForwarding yes"]),
        ("Match User grappe-tunnel\\n PermitListen none\\nMatch all\\n",
         ["it has PermitListen none for grappe-tunnel"]),
        long("Match User grappe-tunnel\\n PermitListen 1\\nMatch all\\n",
         ["carries nothing", "remote port forwarding failed"]),
    ],
    ids=["for all", "for none", "for its ports"],
)  # fmt: skip
def test_relay_that_refuses_the_forward_fails_the_up(
    paul: ProjectCopy, relay: Host, deny: str, words: list[str]
) -> None:
    """`up` fails with sshd's setting if that is for all users, otherwise with ssh's message."""
    conf = "/etc/ssh/sshd_config.d/00-no.conf"
    relay.run(
        ["sh", "-c", f"printf '{deny}' > {conf}; systemctl reload ssh; pkill -u grappe-tunnel"]
    )
    try:
        output = paul.up("paul", ok=False)
        assert all(word in output for word in words)
    finally:
        relay.run(["sh", "-c", f"rm {conf}; systemctl reload ssh"])
    paul.up("paul")


def test_down_leaves_nothing_on_the_relay(
    paul: ProjectCopy, lab_host: Host, workstation: Host, relay: Host
) -> None:
    """Neither on the lab host nor on the relay."""
    listing = ("ls /etc/ssh/sshd_config.d; ls -d /etc/ssh/grappe* /var/lib/grappe* 2>&1; "
             "id grappe-tunnel 2>&1; ss -Hltn | awk '{print $4}' | sort")  # fmt: skip
    paul.pulumi("destroy", "--yes", "--skip-preview", "-s", "paul")
    before = inventory(lab_host, workstation), relay.run(["sh", "-c", listing]).stdout
    assert "no such user" in before[1]
    assert "8080" not in before[1]
    paul.up("paul")
    paul.pulumi("destroy", "--yes", "--skip-preview", "-s", "paul")
    assert before == (inventory(lab_host, workstation), relay.run(["sh", "-c", listing]).stdout)
    assert "no such user" in lab_host.run(["sh", "-c", "id grappe-tunnel 2>&1; true"]).stdout
    with pytest.raises(errors.CommandError):
        lab_host.run(["test", "-e", "/var/lib/grappe-tunnel"])
