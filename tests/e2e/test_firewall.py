"""Labs survive UFW's reload, disable, enable and reset, foreign rules, and a reboot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts import command, connections
from hosts.host import Host
from sandbox import layout, lifecycle
from tests.conftest import long
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox

COUNT = "iptables -t nat -S | grep -c -- '-A PREROUTING -j GRAPPE-DNAT'"

# The kept file restores our chains; the foreign rule stays loaded unless it is deleted.
RESTORE = (
    "mv /root/rules /etc/ufw/before.rules; "
    "while iptables -t nat -D PREROUTING -p tcp -j ACCEPT 2>/dev/null; do :; done; ufw reload"
)


@pytest.fixture(scope="module")
def erin(project: ProjectCopy) -> Iterator[str]:
    """A student's lab that is up."""
    project.write("erin", 21)
    project.up("erin")
    yield "erin"
    project.destroy("erin")


def test_native_nft_rule_in_nat_is_left_alone(project: ProjectCopy, sandbox: layout.Layout) -> None:
    """iptables-save cannot list its table; our last rule is removed all the same."""
    host = connections.connect(sandbox.host_url)
    project.write("gina", 23, servers=[{"name": "yuno1"}])
    project.up("gina")
    host.run(["nft", "add chain ip nat STRANGER; "
              "add rule ip nat STRANGER tcp dport 1 dnat to 192.0.2.1:1"])  # fmt: skip
    try:
        assert "incompatible" in host.run(["iptables-save", "-t", "nat"]).stdout
        project.destroy("gina")
        left = host.run(["nft", "list", "table", "ip", "nat"]).stdout
        assert "GRAPPE" not in left
        assert "dnat to 192.0.2.1:1" in left
    finally:
        host.run(["nft", "flush chain ip nat STRANGER; delete chain ip nat STRANGER"])


@pytest.mark.parametrize(
    "action",
    [
        long("ufw reload && ufw reload"),
        # What the sheet says after each change of before.rules.
        "iptables -t nat -F && ufw reload",
        "ufw disable",
        "ufw --force enable",
        long("ufw disable && ufw --force enable"),
        # Others flush the table before our part of before.rules, and after it.
        "sed -i '1i *nat\\n:PREROUTING ACCEPT [0:0]\\n-F\\nCOMMIT' /etc/ufw/before.rules; ufw reload",
        long("printf '*nat\\n-F\\nCOMMIT\\n' >> /etc/ufw/before.rules; ufw reload && ufw reload"),
        # One that ends NAT, ahead of the jump.
        "printf '*nat\\n-I PREROUTING -p tcp -j ACCEPT\\nCOMMIT\\n' >> /etc/ufw/before.rules; "
        "ufw reload && ufw reload",
    ],
)
def test_lab_answers_after_firewall_command(
    project: ProjectCopy, client: Client, lab_host: Host, erin: str, action: str
) -> None:
    """The jump is loaded once, and every server is reachable."""
    lab_host.run(["sh", "-ec", f"cp -p /etc/ufw/before.rules /root/rules; {action}"])
    try:
        assert "1" == lab_host.run(["sh", "-c", COUNT]).stdout.strip()
        assert client.reaches(project.outputs(erin)["servers"])
        project.up(erin, "--expect-no-changes")
    finally:
        lab_host.run(["sh", "-ec", RESTORE])


def test_nat_is_restored_after_a_restart_of_nftables(
    project: ProjectCopy, client: Client, lab_host: Host, erin: str
) -> None:
    """A restart of nftables restores NAT, `ufw reload` UFW's rules, and `up` LXD's masquerade."""
    lab_host.run(["systemctl", "restart", "nftables"])
    back = "until iptables -t nat -C PREROUTING -j GRAPPE-DNAT 2>/dev/null; do sleep 0.1; done"
    lab_host.run(["timeout", "10", "sh", "-c", back])
    servers = project.outputs(erin)["servers"]
    assert ["yuno1", "yuno2"] == [client.ssh(server["ssh"]["port"]) for server in servers]
    lab_host.run(["ufw", "reload"])
    assert client.reaches(servers)
    output = project.up(erin)
    assert "LXD's masquerade of it is not loaded: its servers do not reach the internet" in output
    assert "10.64.21.0/24" in lab_host.run(["sh", "-c", "nft list ruleset | grep masq"]).stdout
    project.up(erin, "--expect-no-changes")


@pytest.mark.parametrize(
    "fault",
    [long("ufw --force reset; ufw allow 22/tcp; ufw --force enable"),
     "printf '*filter\\n-F GRAPPE-FORWARD\\n-F GRAPPE-INPUT\\nCOMMIT\\n' >> /etc/ufw/before.rules; "
     "ufw reload"],
)  # fmt: skip
def test_ufw_start_restores_drops_before_accepts(
    project: ProjectCopy, lab_host: Host, erin: str, fault: str
) -> None:
    """A start of UFW restores the isolation first: servers never reach the host."""
    rules = "/etc/ufw/before.rules"
    lab_host.run(["sh", "-ec", f"cp -p {rules} /root/rules; {fault}"])
    try:
        ping = ["lxc", "exec", "yuno1", "--project", "grappe-erin", "--", "ping", "-c1", "-W1"]
        assert not lab_host.run([*ping, "10.64.21.1"], check=False).ok
        assert lab_host.run([*ping, "10.64.21.11"], check=False).ok
    finally:
        # A reset of UFW's keeps what it took as before.rules.DATE.
        undo = f"mv /root/rules {rules}; rm -f /etc/ufw/*.rules.20*; ufw reload"
        lab_host.run(["sh", "-ec", undo])
    project.up(erin)
    project.up(erin, "--expect-no-changes")


WORKSTATION = layout.WORKSTATION_ADDRESS
FROM = f"proto tcp from {WORKSTATION} to any port"


@pytest.mark.parametrize(
    ("rule", "closed"),
    [(f"insert 1 deny {FROM} 80,443", {80, 443}), long(f"insert 1 reject {FROM} 443", {443}),
     long(f"route insert 1 deny {FROM} 22", {22}),
     (f"route insert 1 reject proto tcp from {WORKSTATION} to 10.64.21.10", {22})],
)  # fmt: skip
def test_ufw_denial_of_a_teacher_holds(
    project: ProjectCopy, client: Client, lab_host: Host, erin: str, rule: str, closed: set[int]
) -> None:
    """A denial closes pages or SSH ports; deleting it opens them again."""
    server = project.outputs(erin)["servers"][0]
    dial = "timeout 2 bash -c 'exec 3<>/dev/tcp/{0}/{1}' 2>/dev/null && echo {2}; true"
    ways = {22: server["ssh"]["port"], 80: 80, 443: 443}

    def open_ways() -> set[int]:
        script = "".join(
            dial.format(layout.HOST_ADDRESS, port, way) + "\n" for way, port in ways.items()
        )
        return {int(line) for line in client.run("sh", "-c", script).split()}

    lab_host.run(["sh", "-c", f"ufw {rule}"])
    try:
        assert set(ways) - closed == open_ways()
        assert "is in effect: it keeps people from 192.168.8.20/32 out of" in project.pulumi(
            "preview", "-s", erin
        )
    finally:
        lab_host.run(["sh", "-c", f"ufw {rule.replace('insert 1 ', 'delete ')}"])
    assert set(ways) == open_ways()


@pytest.mark.parametrize(
    ("rule", "undo", "words"),
    [
        long("iptables -I FORWARD -j ACCEPT", "iptables -D FORWARD -j ACCEPT",
         "lets servers reach each other, past the isolation: -A FORWARD -j ACCEPT"),
        ("iptables -I INPUT -p tcp --dport 22 -j ACCEPT",
         "iptables -D INPUT -p tcp --dport 22 -j ACCEPT",
         "lets servers reach the host, past the isolation"),
        long("iptables -I INPUT -p tcp --dport 80 -j DROP",
         "iptables -D INPUT -p tcp --dport 80 -j DROP", "keeps people out of pages or servers"),
        long("ufw deny out 80/tcp", "ufw delete deny out 80/tcp", "HAProxy does not reach 80"),
        ("nft 'add table inet pre; add chain inet pre p { type filter hook prerouting priority "
         "-300; }; add rule inet pre p tcp dport 22422 drop'", "nft delete table inet pre",
         "nft inet pre: tcp dport 22422 drop"),
    ],
    ids=["accept in FORWARD", "accept in INPUT", "drop in INPUT", "UFW outwards", "nft prerouting"],
)  # fmt: skip
def test_rule_before_ufw_is_named_by_the_preview(
    project: ProjectCopy, lab_host: Host, erin: str, rule: str, undo: str, words: str
) -> None:
    """The preview reports the rule with its effect on labs until it is removed."""
    lab_host.run(["sh", "-c", rule])
    try:
        assert words in project.pulumi("preview", "-s", erin)
    finally:
        lab_host.run(["sh", "-c", undo])
    assert words not in project.pulumi("preview", "-s", erin)


def test_accept_before_our_jump_of_nat_is_drift(
    project: ProjectCopy, client: Client, lab_host: Host, erin: str
) -> None:
    """The accept ends NAT, so no port is forwarded; `up` moves our jump before it."""
    rule = f"PREROUTING -s {WORKSTATION}/32 -p tcp -j ACCEPT"
    lab_host.run(["sh", "-c", f"iptables -t nat -I {rule}"])
    try:
        assert "a rule before the jump to GRAPPE-DNAT" in project.up(erin)
        assert client.reaches(project.outputs(erin)["servers"])
        project.up(erin, "--expect-no-changes")
    finally:
        lab_host.run(["sh", "-c", f"iptables -t nat -D {rule}"])


def test_condition_on_dnat_is_no_redirect(project: ProjectCopy, lab_host: Host, erin: str) -> None:
    """firewalld's `ct status dnat accept` takes no port: the preview has no note."""
    table = (
        "add table inet mine; add chain inet mine f { type filter hook forward priority 5; policy "
        'drop; }; add rule inet mine f iifname "gr-*" accept; '
        "add rule inet mine f ct state established,related accept; "
        "add rule inet mine f ct status dnat accept; "
        "add chain inet mine n { type nat hook prerouting priority -90; }"
    )
    lab_host.run(["nft", table])
    try:
        assert "note:" not in project.pulumi("preview", "-s", erin)
    finally:
        lab_host.run(["nft", "delete", "table", "inet", "mine"])


@pytest.mark.parametrize("target", ["10.64.21.10:80", f"{layout.RELAY_ADDRESS}:22"])
def test_dnat_of_others_is_not_accepted(
    client: Client, lab_host: Host, erin: str, target: str
) -> None:
    """UFW decides on a foreign DNAT; by default it is closed."""
    del erin
    rule = f"PREROUTING -p tcp --dport 8888 -j DNAT --to-destination {target}"
    lab_host.run(["sh", "-c", f"iptables -t nat -A {rule}"])
    try:
        dial = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{layout.HOST_ADDRESS}/8888' && echo open; true"
        assert "" == client.run("sh", "-c", dial)
    finally:
        lab_host.run(["sh", "-c", f"iptables -t nat -D {rule}"])


@pytest.mark.parametrize("enabled", [True, long(False)], ids=["ufw enabled", "ufw disabled"])
def test_lab_answers_after_reboot(
    project: ProjectCopy, client: Client, sandbox: layout.Layout, lab_host: Host, erin: str,
    enabled: bool,
) -> None:  # fmt: skip
    """Rules and backends are loaded at boot, with UFW enabled or disabled."""
    lab_host.run(["ufw", "--force", "enable" if enabled else "disable"])
    connections.close_all()
    lifecycle.restart(sandbox)
    servers = project.outputs(erin)["servers"]

    def up() -> bool:
        try:
            return client.reaches(servers)
        except Exception:  # noqa: BLE001 - not yet
            return False

    command.wait_until(up, what="the lab after a reboot", timeout=60, pause=0.5)
    project.up(erin, "--expect-no-changes")
    connections.connect(sandbox.host_url).run(["ufw", "--force", "enable"])


def test_lab_created_without_ufw_answers_after_ufw_enable(
    project: ProjectCopy, client: Client, sandbox: layout.Layout
) -> None:
    """It works before UFW is enabled, and after."""
    host = connections.connect(sandbox.host_url)
    host.run(["ufw", "disable"])
    project.write("frank", 22)
    project.up("frank")
    servers = project.outputs("frank")["servers"]
    assert client.reaches(servers)
    host.run(["ufw", "--force", "enable"])
    assert client.reaches(servers)
    project.up("frank", "--expect-no-changes")
    project.destroy("frank")
