"""Bad input: refused at preview, all at once, with the key, the value and what would be right."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from hosts.host import Host
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

GOLDEN = pathlib.Path(__file__).parent.parent / "unit" / "golden"


@pytest.fixture(scope="module")
def alice(project: ProjectCopy) -> Iterator[str]:
    """The lab of another student, up."""
    project.write("alice", 7)
    project.up("alice")
    yield "alice"
    project.destroy("alice")


def refused(project: ProjectCopy, stack: str = "bob", number: int = 8, **settings: Any) -> str:
    """Write a stack file, and return the output of a preview that must fail."""
    project.write(stack, number, **settings)
    output = project.pulumi("preview", "-s", stack, ok=False)
    assert "nothing was changed" in output
    assert "Traceback" not in output
    assert "\x1b" not in output
    return output


def test_all_mistakes_in_a_stack_file_are_reported_at_once(
    project: ProjectCopy, lab_host: Host, workstation: Host
) -> None:
    """Unknown keys, names, domains, ports, addresses; the host is not touched."""
    before = inventory(lab_host, workstation)
    output = refused(project, **json.loads((GOLDEN / "mistakes.json").read_text()))
    for line in (GOLDEN / "mistakes.txt").read_text().splitlines():
        assert line in output
    assert "hunter2" not in output
    assert before == inventory(lab_host, workstation)


@pytest.mark.long
def test_number_and_names_of_another_stack_are_refused(
    project: ProjectCopy, alice: str, lab_host: Host, workstation: Host
) -> None:
    """Number, port, domain and name, each with its owner; alice's lab stays as it is."""
    before = inventory(lab_host, workstation)
    file = project.folder / "stacks" / "Pulumi.alice.yaml"
    output = refused(project, number=7, student="alice")
    assert "7 is alice's, by stacks/Pulumi.alice.yaml. Free: 1" in output
    assert '"alice" is alice\'s, by stacks/Pulumi.alice.yaml.' in output
    # As in another project folder, which does not have her stack file.
    away = file.rename(project.folder / "alice.yaml")
    output = refused(project, number=7)
    url = project.layout.host_url
    assert f"7 is alice's (stack grappe/alice), on {url}. Free: 1 to 6" in output
    assert "8 to 4000" in output
    output = refused(
        project, student="alice",
        servers=[{"name": "yuno1", "port": 22282}, {"name": "q", "port": 22}],
    )  # fmt: skip
    assert "22 is the lab host's own" in output
    output = refused(
        project, student="alice",
        servers=[{"name": "yuno1", "port": 22282}, {"name": "q", "port": 22290}],
    )  # fmt: skip
    for words in (
        "22282 is alice's (stack grappe/alice)",
        '"yuno1.alice.grappe.test" is alice\'s (stack grappe/alice)',
        "the LXD project grappe-alice exists",
    ):
        assert words in output, words
    away.rename(file)
    assert before == inventory(lab_host, workstation)


def test_missing_host_resources_are_refused(project: ProjectCopy, alice: str) -> None:
    """A missing image and a missing profile; the refusal lists those that exist."""
    output = refused(
        project, student="bob", image="nope", profiles=["default", "big"], servers=[{"name": "a"}]
    )
    assert '"nope" is not an image of the host. Its aliases: standin.' in output
    assert '"big" is not a profile of the host. Its own: default.' in output
    assert "2 mistakes" in output


def test_port_used_by_the_host_is_refused(project: ProjectCopy, lab_host: Host) -> None:
    """The program that listens there is named."""
    script = "systemd-run --unit=grappe-squat --quiet python3 -m http.server 22292"
    lab_host.run(["sh", "-c", script])
    try:
        wait = "for n in 1 2 3 4 5 6 7 8 9; do ss -Hltn | grep -q :22292 && exit; sleep 0.3; done"
        lab_host.run(["sh", "-c", wait])
        output = refused(project, servers=[{"name": "a"}])
        assert "22292 is in use on the host, by python3." in output
    finally:
        lab_host.run(["systemctl", "stop", "grappe-squat"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/usr/sbin/haproxy", "has no haproxy. On the host: apt install haproxy"),
        ("/usr/sbin/ufw", "has no ufw. On the host: apt install ufw"),
        ("/var/lib/lxd/unix.socket", "there is no LXD. On the host: apt install lxd, lxd init"),
    ],
)
def test_host_without_a_program_is_refused(
    project: ProjectCopy, lab_host: Host, path: str, words: str
) -> None:
    """The refusal names the program, and how to install it."""
    with moved_aside(lab_host, path):
        assert words in refused(project, servers=[{"name": "a"}])


@contextlib.contextmanager
def moved_aside(host: Host, path: str) -> Iterator[None]:
    """Rename a file of the host, and rename it back at the end."""
    host.run(["mv", path, f"{path}.away"])
    try:
        yield
    finally:
        host.run(["mv", f"{path}.away", path])


def test_invalid_haproxy_configuration_is_refused(project: ProjectCopy, lab_host: Host) -> None:
    """The refusal has HAProxy's message, and says that Grappe changed nothing before."""
    config = "/etc/haproxy/haproxy.cfg"
    lab_host.run(["sh", "-c", f"cp -p {config} {config}.kept && echo 'nonsense 1' >> {config}"])
    try:
        output = refused(project, servers=[{"name": "a"}])
        assert "haproxy.cfg is not valid, before Grappe has changed anything" in output
        assert "unknown keyword 'nonsense'" in output
    finally:
        lab_host.run(["mv", f"{config}.kept", config])


CONFIG = "/etc/haproxy/haproxy.cfg"
OPTIONS = 'EXTRAOPTS="-S /run/haproxy-master.sock -f /etc/haproxy/x.d"'
CONFLICTS = {
    "a frontend in another folder of HAProxy's": (
        "mkdir /etc/haproxy/x.d; printf 'frontend x\\n  mode http\\n  bind :79-81\\n' > "
        f"/etc/haproxy/x.d/a.cfg; cp -p /etc/default/haproxy /root/kept; echo '{OPTIONS}' >> "
        "/etc/default/haproxy",
        "/etc/haproxy/x.d/a.cfg:3 listens there too: bind :79-81",
        "rm -r /etc/haproxy/x.d; mv /root/kept /etc/default/haproxy",
    ),
    "a frontend below our part": (
        "cp -p /etc/haproxy/haproxy.cfg /root/kept; printf 'frontend x\\n  mode http\\n  bind "
        "*:8080,*:80\\n' >> /etc/haproxy/haproxy.cfg",
        "listens there too: bind *:8080,*:80",
        "mv /root/kept /etc/haproxy/haproxy.cfg",
    ),
    "a rule for a range of ports": (
        "iptables -t nat -A PREROUTING -p tcp -m multiport --dports 22290:22299 -j DNAT --to "
        "192.0.2.1",
        "22292 is already redirected on the host: -A PREROUTING",
        "iptables -t nat -D PREROUTING -p tcp -m multiport --dports 22290:22299 -j DNAT --to "
        "192.0.2.1",
    ),
    "a rule in the words of nft": (
        "nft add table ip mine; nft add chain ip mine pre "
        "'{ type nat hook prerouting priority -110; }'; "
        "nft add rule ip mine pre tcp dport '{ 80, 8080 }' redirect to :1",
        "80 is already redirected on the host: nft ip mine pre: tcp dport { 80, 8080 }",
        "nft delete table ip mine",
    ),
    "a route over the network": (
        "ip route add 10.64.8.0/25 via 198.51.100.20",
        "10.64.8.0/24, which the host routes elsewhere: 10.64.8.0/25 via 198.51.100.20",
        "ip route del 10.64.8.0/25",
    ),
    "a profile with a second leg": (
        "lxc profile create legs; lxc profile device add legs root disk pool=default path=/; "
        "lxc profile device add legs lan nic nictype=bridged parent=lxdbr0",
        '"legs" cannot be used: its device lan (network lxdbr0) is a second way out',
        "lxc profile delete legs",
    ),
    "a quoted bind": (
        f"cp -p {CONFIG} /root/kept; printf \"frontend x\n  mode http\n  bind ':80'\n\" >> "
        f"{CONFIG}",
        "listens there too: bind ':80'",
        f"mv /root/kept {CONFIG}",
    ),
    "a bind by a variable": (
        f"cp -p {CONFIG} /root/kept; cp -p /etc/default/haproxy /root/d; echo WEB=80 >> "
        "/etc/default/haproxy; "
        f"printf 'frontend x\n  mode http\n  bind \"*:${{WEB}}\"\n' >> {CONFIG}",
        'listens there too: bind "*:${WEB}"',
        f"mv /root/kept {CONFIG}; mv /root/d /etc/default/haproxy",
    ),
    "another file that HAProxy loads": (
        f"cp -p {CONFIG} /etc/haproxy/site.cfg; cp -p /etc/default/haproxy /root/d; "
        "echo CONFIG=/etc/haproxy/site.cfg >> /etc/default/haproxy",
        "HAProxy loads /etc/haproxy/site.cfg, and not /etc/haproxy/haproxy.cfg",
        "rm /etc/haproxy/site.cfg; mv /root/d /etc/default/haproxy",
    ),
    "an HAProxy of another unit": (
        "printf 'defaults\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n"
        "frontend q\n bind :80\n' > /root/h.cfg; systemd-run -q --unit=second haproxy -db -f "
        "/root/h.cfg; "
        "timeout 9 sh -c 'until ss -Hltn sport = 80 | grep -q .; do sleep 0.1; done'",
        "port 80 is taken by another haproxy (process",
        "systemctl stop second; rm /root/h.cfg",
    ),
    "a haproxy.cfg that is a link": (
        f"mkdir /srv/c; mv {CONFIG} /srv/c/; ln -s /srv/c/haproxy.cfg {CONFIG}",
        "haproxy.cfg is a symbolic link to /srv/c/haproxy.cfg",
        f"rm {CONFIG}; mv /srv/c/haproxy.cfg {CONFIG}; rmdir /srv/c",
    ),
    "a script of UFW's in python": (
        "cp -p /etc/ufw/after.init /root/kept; printf '#!/usr/bin/python3\nimport os\n' > "
        "/etc/ufw/after.init",
        "after.init is not a shell script (#!/usr/bin/python3)",
        "mv /root/kept /etc/ufw/after.init",
    ),
    "a file that is immutable": (
        "chattr +i /etc/ufw/before.rules",
        "before.rules is immutable, or on a read-only file system",
        "chattr -i /etc/ufw/before.rules",
    ),
    "a before.rules with line ends of Windows": (
        "cp -p /etc/ufw/before.rules /root/rules; sed -i 's/$/\\r/' /etc/ufw/before.rules",
        "/etc/ufw/before.rules is refused by iptables-restore: line",
        "mv /root/rules /etc/ufw/before.rules",
    ),
    "a disabled UFW whose rules are loaded": (
        "sed -i s/^ENABLED=yes/ENABLED=no/ /etc/ufw/ufw.conf",
        "/etc/ufw/ufw.conf says ENABLED=no, and UFW's rules are loaded all the same",
        "sed -i s/^ENABLED=no/ENABLED=yes/ /etc/ufw/ufw.conf",
    ),
    "a full file system": (
        "mkdir -p /var/lib/grappe; mount -t tmpfs -o size=64k tmpfs /var/lib/grappe",
        "/var/lib/grappe cannot be written: the file system of /var/lib/grappe is full",
        "umount /var/lib/grappe && find /var/lib/grappe -maxdepth 0 -empty -delete",
    ),
    "a table of nft's that drops": (
        "nft add table inet mine; nft add chain inet mine in "
        "'{ type filter hook input priority 0; policy drop; }'; "
        "nft add rule inet mine in ct state established,related accept; "
        "nft add rule inet mine in tcp dport 22 accept",
        "nft insert rule inet mine in tcp dport { 80, 443 } accept",
        "nft delete table inet mine",
    ),
    "a chain of iptables-legacy that drops": (
        "iptables-legacy -P FORWARD DROP",
        "iptables-legacy -I FORWARD -i gr-+ -j ACCEPT; iptables-legacy -I FORWARD -o gr-+ -j "
        "ACCEPT",
        "iptables-legacy -P FORWARD ACCEPT",
    ),
    "a rule of iptables-legacy for our port": (
        "iptables-legacy -t nat -A PREROUTING -p tcp --dport 22292 -j DNAT --to 192.0.2.1",
        "22292 is already redirected on the host: iptables-legacy -A PREROUTING",
        "iptables-legacy -t nat -F",
    ),
    "a rule that drops the network": (
        "ip rule add to 10.64.8.0/24 prohibit",
        "on the host: ip rule del from all to 10.64.8.0/24 prohibit",
        "ip rule del to 10.64.8.0/24 prohibit",
    ),
    "an sshd that forwards nothing": (
        "echo DisableForwarding yes > /etc/ssh/sshd_config.d/z.conf; systemctl reload ssh",
        "seen: disableforwarding yes",
        "rm /etc/ssh/sshd_config.d/z.conf; systemctl reload ssh",
    ),
    # It forbids the forwarding of unix sockets too.
    "an sshd that forwards no TCP": (
        "echo AllowTcpForwarding no > /etc/ssh/sshd_config.d/z.conf; systemctl reload ssh",
        "seen: allowtcpforwarding no",
        "rm /etc/ssh/sshd_config.d/z.conf; systemctl reload ssh",
    ),
}


# Planted together, and reported all at once; the others take a preview each.
TOGETHER = (
    ("a rule for a range of ports", "a rule in the words of nft", "a route over the network",
     "a table of nft's that drops", "a chain of iptables-legacy that drops",
     "a rule of iptables-legacy for our port", "a before.rules with line ends of Windows",
     "a disabled UFW whose rules are loaded"),
    ("a file that is immutable", "a full file system", "a script of UFW's in python",
     "a rule that drops the network", "a profile with a second leg"),
)  # fmt: skip
GROUPS = [*TOGETHER, *((case,) for case in CONFLICTS if not any(case in each for each in TOGETHER))]


@pytest.mark.parametrize("cases", GROUPS, ids=lambda cases: cases[0])
def test_conflicts_with_others_on_the_host_are_refused(
    project: ProjectCopy, lab_host: Host, cases: tuple[str, ...]
) -> None:
    """One preview names each conflict with its line, before anything is created."""
    profiles = ["legs"] if "a profile with a second leg" in cases else ["default"]
    planted = []
    try:
        for case in cases:
            plant, _words, undo = CONFLICTS[case]
            planted.append(undo)
            lab_host.run(["sh", "-c", plant])
        output = refused(project, servers=[{"name": "a"}], profiles=profiles)
        assert [] == [case for case in cases if CONFLICTS[case][1] not in output]
    finally:
        left = [
            undo for undo in reversed(planted)
            if not lab_host.run(["sh", "-c", undo], check=False).ok
        ]  # fmt: skip
        assert [] == left


def test_damaged_managed_part_is_refused(project: ProjectCopy, alice: str, lab_host: Host) -> None:
    """Preview and `up` name the file, its marker lines and the remedy."""
    rules = "/etc/ufw/before.rules"
    lab_host.run(["sh", "-c", f"cp -p {rules} /root/kept && sed -i '/END GRAPPE/d' {rules}"])
    try:
        output = refused(project, servers=[{"name": "a"}])
        assert (
            f"the managed part of {rules} is damaged: there must be one '# BEGIN GRAPPE'" in output
        )
        assert "Put its first and last line back" in output
        output = project.up("alice", ok=False)
        assert f"the managed part of {rules} is damaged" in output
        assert "nothing was changed" in output
    finally:
        lab_host.run(["mv", "/root/kept", rules])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://root@no-such-host.test", "the name is not known"),
        ("ssh://root@{host}:2222", "it does not answer"),
        ("ssh://stranger@{host}", "it refuses the key"),
        ("netns:nowhere", "netns:nowhere does not answer"),
    ],
)
def test_unreachable_host_is_refused_with_its_reason(
    project: ProjectCopy, url: str, words: str
) -> None:
    """The cause: the name, the port, the key or the namespace."""
    host = url.format(host=project.layout.host)
    assert words in refused(project, servers=[{"name": "a"}], host=host)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "its host key is not in known_hosts"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJEgVFxiZHpGfwzfP5yHAFaVuB5dYuwWcV0Rp9ZWeJhP",
         "its host key is not the one in known_hosts"),
    ],
)  # fmt: skip
def test_unknown_or_changed_host_key_is_refused(
    project: ProjectCopy, tmp_path: pathlib.Path, keys: str, words: str
) -> None:
    """Host keys are always checked."""
    known = tmp_path / "known_hosts"
    known.write_text(f"{project.layout.host} {keys}\n" if keys else "")
    config = tmp_path / "ssh_config"
    text = project.layout.ssh_config.read_text()
    config.write_text(text.replace(str(project.layout.folder / "known_hosts"), str(known)))
    kept = project.env["GRAPPE_SSH_CONFIG"]
    project.env["GRAPPE_SSH_CONFIG"] = str(config)
    try:
        assert words in refused(project, servers=[{"name": "a"}])
    finally:
        project.env["GRAPPE_SSH_CONFIG"] = kept


def test_ssh_config_for_tunnels_does_not_break_connections(
    project: ProjectCopy, tmp_path: pathlib.Path
) -> None:
    """Grappe overrides SessionType none, StdinNull, ForkAfterAuthentication and LogLevel QUIET."""
    config = tmp_path / "ssh_config"
    words = "SessionType none\nStdinNull yes\nForkAfterAuthentication yes\nLogLevel QUIET\n"
    config.write_text(words + project.layout.ssh_config.read_text())
    kept = project.env["GRAPPE_SSH_CONFIG"]
    project.env["GRAPPE_SSH_CONFIG"] = str(config)
    try:
        project.write("own", 9, servers=[{"name": "a"}])
        assert "create" in project.pulumi("preview", "-s", "own")
        assert "it refuses the key" in refused(
            project, servers=[{"name": "a"}], host=f"ssh://stranger@{project.layout.host}"
        )
    finally:
        project.env["GRAPPE_SSH_CONFIG"] = kept


@pytest.mark.long
def test_unreachable_lab_fails_the_up(project: ProjectCopy, client: Client, lab_host: Host) -> None:
    """The probe names the closed port and the error; the next `up` succeeds."""
    project.write("bob", 8, servers=[{"name": "a"}])
    block = ["iptables", "-I", "FORWARD", "-p", "tcp", "--dport", "22", "-j", "REJECT"]
    lab_host.run(block)
    try:
        output = project.up("bob", ok=False)
        assert "a cannot be reached from the workstation" in output
        assert "ssh 192.168.8.10:22292: ConnectionRefusedError" in output
    finally:
        lab_host.run(["iptables", "-D", *block[2:]])
    project.up("bob")
    assert client.reaches(project.outputs("bob")["servers"])
