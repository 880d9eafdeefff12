"""Findings of `./lab doctor`, and the preflight of a bare server, from given facts."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest

from checks.doctor import lab_host as doctor
from checks.preflight import lab_host as preflight
from cli import doctor as doctor_command
from components.lab_host import scripts
from core import problems
from hosts import command, ssh_settings
from remote import identity, iptables, managed_block
from remote.unmanaged import legacy
from stacks import lab_host
from views import check

HEALTHY: dict[str, Any] = {
    "missing": [], "lxd": {"projects": [], "networks": []}, "fragments": [], "files": {},
    "ufw": {"enabled": True, "active": True}, "forwarding": "1", "nat": [],
    "chains": "", "before_ufw": [], "unforwarded": [], "copies": [], "ipv6": [], "switched_off": [], "masquerades": [], "listening": [],
    "links": {},
    "inotify": {"limit": 128, "used": 40}, "conntrack": {"limit": 0, "used": 0}, "unreadable": [],
    "loaded": "", "targets": [], "instances": [], "certificates": [],
    "host_keys": [], "disk": {"size": 100, "free": 50},
    "memory": {"MemTotal": 100, "MemAvailable": 50},
    "units": {"haproxy": {"ActiveState": "active"}, "ufw": {}, "grappe-nat": {}},
}  # fmt: skip
RULE = "-A PREROUTING -p tcp -m tcp --dport 22222 -j DNAT --to-destination 10.0.0.1:22"

JUMPS = [f"-A {chain} -j {ours}" for ours, chain in iptables.JUMPS.items()]
# Those of UFW's own.
JUMPS += [f"-A {chain.rpartition('-')[2].upper()} -j {chain}" for chain in iptables.JUMPS.values()]
BRIDGE = {"name": "gr-1", "config": {identity.OWNER: "grappe/a", "ipv4.address": "10.64.1.1/24"}}
FILTER = "-A GRAPPE-FORWARD -i gr-+ -o gr-+ -j DROP\n"
# A host with a lab that is up.
UP: dict[str, Any] = {
    "fragments": [{"id": "x", "owner": "grappe/a", "keys": ["tcp/22222"]}],
    "targets": [{"id": "x", "owner": "grappe/a", "address": "10.0.0.1", "port": 22222, "there": 22}],
    "chains": "*filter\n" + "\n".join(JUMPS), "nat": ["-A PREROUTING -j GRAPPE-DNAT"],
    "subnets": [], "masquerades": ["ip saddr 10.64.1.0/24 ip daddr != 10.64.1.0/24 masquerade"],
    "units": {**HEALTHY["units"], "grappe-nat": {"UnitFileState": "enabled"}},
}  # fmt: skip


def test_lab_that_is_up_has_no_finding() -> None:
    """Its rules, jumps and masquerade are loaded."""
    assert [] == doctor.judge({**HEALTHY, **UP}, {"grappe/a"})


def test_healthy_host_has_no_finding() -> None:
    """A lab host without labs."""
    assert [] == doctor.judge(HEALTHY, set())


def test_fail2ban_rule_has_fail2bans_remedy() -> None:
    """fail2ban would add a deleted rule again."""
    chains = (
        "*filter\n-A INPUT -p tcp -m multiport --dports 80,443 -j f2b-web\n"
        "-A f2b-web -s 192.0.2.1/32 -j REJECT\n" + "\n".join(JUMPS)
    )
    facts = {**HEALTHY, **UP, "chains": chains}
    facts["before_ufw"] = list(iptables.Chains(chains).before_ufw())
    (finding,) = doctor.judge(facts, {"grappe/a"})
    assert "fail2ban-client unban" in finding.do


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"missing": ["haproxy"]}, "haproxy is not installed"),
        ({"lxd": {"error": "it hangs"}}, "LXD does not work"),
        ({"ufw": {"enabled": False, "active": True}}, "UFW is disabled"),
        ({"ufw": {"enabled": True, "active": False}}, "are not loaded"),
        ({"forwarding": "0"}, "the kernel does not forward packets"),
        (
            {"inotify": {"limit": 128, "used": 100}},
            "the kernel has room for 1 more server or so",
        ),
        ({"nat": [RULE, RULE]}, "a rule is loaded 2 times"),
        ({"loaded": "[ALERT] bad"}, "haproxy.cfg is not valid"),
        ({"targets": [{"id": "a", "owner": "grappe/a", "address": "10.64.1.10"}]},
         "where there is no container"),
        ({"lxd": {"projects": [{"name": "p", "config": {identity.OWNER: "grappe/x"}}],
                  "networks": []}}, "is of the stack grappe/x, which is not here"),
        ({"disk": {"size": 100, "free": 5}}, "the disk is almost full"),
        ({"memory": {"MemTotal": 100, "MemAvailable": 5}}, "memory is almost used up"),
        ({"certificates": [{"server": "s", "project": "p", "left": -doctor.DAY * 2}]},
         "ended 2 days ago"),
        ({"host_keys": [{"server": n, "project": "p", "key": "k"} for n in "ab"]},
         "have the same host key"),
        ({"units": {**HEALTHY["units"], "grappe-tunnel-a": {"ActiveState": "failed"}}},
         "the tunnel a is not up"),
        ({"files": {"/etc/hosts": "# BEGIN GRAPPE\n"}}, "is damaged"),
        ({**UP, "files": {"/etc/ufw/before.rules": "*filter\n"}}, "Grappe's part of /etc/ufw/before"),
        ({**UP, "ipv6": ["gr-1"]}, "IPv6 is on at gr-1"),
        ({**UP, "switched_off": ["/etc/ufw/after.init"]}, "after.init is not executable"),
        ({**UP, "chains": "*filter\n" + "\n".join(JUMPS[1:])},
         "ufw-before-input has no jump to GRAPPE-INPUT: servers reach the host's own"),
        ({**UP, "listening": [{"port": 80, "program": "nginx"}]}, "another program listens on HAProxy's"),
        ({**UP, "configs": {"/etc/haproxy/x.cfg": "bind :443\n"}}, "another program listens on HAProxy's"),
        ({**UP, "nat": [*UP["nat"], RULE.replace("22222", "22000:22999")]}, "22222 is redirected"),
        ({**UP, "nat": [*UP["nat"], "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 22222 -j DNAT "
                        "--to-destination 172.17.0.2:80"]}, "22222 is redirected"),
        ({**UP, "chains": "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 443 -j DROP\n"
                          "-A INPUT -j ufw-before-input\n" + "\n".join(JUMPS)},
         "a rule before UFW's keeps people out"),
        ({**UP, "filters": [{"table": "inet f", "name": "out", "kind": "filter", "hook": "output",
                             "policy": "drop", "rules": []}]}, "drops what labs need"),
        ({**UP, "filters": [chain._asdict() for chain in legacy.chains(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n")]},
         "the chain FORWARD of iptables-legacy, beside UFW's"),
        ({**UP, "filters": [{"table": "inet f2b-table", "name": "f2b-chain", "kind": "filter", "hook": "input",
                             "policy": "accept",
                             "rules": ["tcp dport { 80, 443 } ip saddr @addr-set-web reject"]}]},
         "a rule of nft's table inet f2b-table keeps people out"),
        ({**UP, "filters": [{"table": "inet f", "name": "p", "kind": "filter", "hook": "prerouting",
                             "policy": "accept", "rules": ["tcp dport 22222 drop"]}]},
         "a rule of nft's table inet f keeps people out"),
        ({**UP, "filters": [{"table": "ip filter", "name": "INPUT", "kind": "filter", "hook": "input",
                             "policy": "drop", "rules": []}]},
         "the chain INPUT of iptables-nft, beside UFW's legacy one"),
        ({**UP, "filters": [{"table": "inet firewalld", "name": "filter_INPUT", "kind": "filter",
                             "hook": "input", "policy": "drop", "rules": []}]},
         "firewalld runs beside UFW"),
        ({**UP, "chains": "*filter\n-A FORWARD -j ACCEPT\n" + "\n".join(JUMPS)},
         "lets servers reach each other, past the isolation"),
        ({**UP, "instances": [{"owner": "grappe/a", "own_address": "10.0.0.1", "profiles": ["default"], "status": "Running",
            "name": "a", "project": "p", "address": ""}],
          "lxd": {"networks": [], "projects": [], "sets": {"default": {"security.privileged": "true"}}}},
         "LXD's profile default makes servers privileged"),
        ({**UP, "unled": ["ufw-before-forward", "ufw-after-forward"]},
         "FORWARD has no jump to ufw-before-forward and ufw-after-forward"),
        ({**UP, "chains": "*filter\n-A FORWARD -o docker0 -j ACCEPT\n" + "\n".join(JUMPS)},
         "lets servers reach the machines on docker0"),
        ({**UP, "nat": ["-A PREROUTING -s 10.0.0.0/8 -p tcp -j ACCEPT", *UP["nat"]]},
         "a rule of NAT keeps people from every server's ports"),
        ({**UP, "ufw_sysctl": ["/etc/ufw/sysctl.conf:9: net/ipv4/ip_forward=0"]},
         "each reload of UFW ends forwarding"),
        ({**UP, "unforwarded": ["eth0"]}, "forwards no packets that come in by eth0"),
        ({**UP, "ufw_rules": ["### tuple ### deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 out"]},
         "HAProxy does not reach 80 of the servers"),
        ({**UP, "copies": ["/etc/iptables/rules.v4"]}, "rules.v4 has a copy of Grappe's rules"),
        ({**UP, "units": {**UP["units"], "ufw": {"UnitFileState": "disabled"}}},
         "ufw.service is disabled"),
        ({**UP, "chains": "*raw\n-A PREROUTING -p tcp -m tcp --dport 22222 -j CT --notrack\n"
                          "*filter\n" + "\n".join(JUMPS)}, "a rule before UFW's keeps people out"),
        ({**UP, "fixed": {"/etc/ufw/before.rules": ["is a symbolic link to x", "make it real"]}},
         "before.rules is a symbolic link"),
        ({**UP, "ufw_rules": ["### tuple ### deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 in"]},
         "ufw route insert 1 deny proto tcp from any to 10.0.0.1 port 22"),
        ({**UP, "ufw_rules": ["### tuple ### deny any 80 0.0.0.0/0 any 0.0.0.0/0 in comment=61"]},
         "`ufw deny port 80` is in effect: it keeps people out of 80"),
        ({**UP, "files": {"/etc/ufw/before.rules": managed_block.put("", FILTER)}},
         "GRAPPE-FORWARD is not what it should be: one student's servers reach another's"),
        ({**UP, "lxd": {"projects": [], "networks": [BRIDGE]}, "masquerades": []},
         "gr-1 do not reach the internet"),
        ({**UP, "instances": [{"owner": "grappe/a", "own_address": "10.0.0.1", "profiles": ["default"], "status": "Running",
            "name": "a", "project": "p", "address": ""}],
          "lxd": {"networks": [], "projects": [], "brings": {"default": {"root": {"type": "disk", "path": "/"}, "eth1": {"type": "nic"}}}}},
         "LXD's profile default cannot serve labs: its device eth1"),
        ({"conntrack": {"limit": 65536, "used": 64000}}, "tracks almost as many connections"),
        ({"unreadable": ["grappe-a_yuno1"]}, "lxcfs died: programs in 1 servers"),
        ({**UP, "subnets": [{"interface": "gr-tp", "subnet": "10.9.0.1/24"}]}, "gr-tp has a name of Grappe's"),
        ({**UP, "lxd": {"projects": [], "networks": [BRIDGE]}, "routes": [
            {"to": "10.64.1.0/24", "device": "eth0", "table": "", "line": "10.64.1.0/24 dev eth0"}]},
         "gr-1 are unreachable"),
        ({**UP, "lxd": {"projects": [], "networks": [BRIDGE]},
          "links": {"gr-1": "its link is down: its servers have no network"}},
         "the bridge gr-1: its link is down"),
    ],
)  # fmt: skip
def test_each_finding_has_its_remedy(changes: dict[str, Any], words: str) -> None:
    """One finding per fault, with a remedy."""
    facts = {**HEALTHY, **changes}
    facts["before_ufw"] = list(iptables.Chains(facts["chains"]).before_ufw())
    (finding,) = doctor.judge(facts, {"grappe/a"})
    assert words in finding.what
    assert finding.do


def test_drop_of_ufw_docker_has_an_exemption_as_remedy() -> None:
    """It protects what Docker publishes; it is found once, though two ways lead to it."""
    ways = "".join(
        f"-A DOCKER-USER -d {net} -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny\n"
        for net in ("10.0.0.0/8", "0.0.0.0/0")
    )
    chains = (
        f"*filter\n-A FORWARD -j DOCKER-USER\n{ways}-A ufw-docker-logging-deny -j DROP\n"
        + "\n".join(JUMPS)
    )
    facts = {**HEALTHY, **UP, "chains": chains}
    facts["before_ufw"] = list(iptables.Chains(chains).before_ufw())
    (finding,) = doctor.judge(facts, {"grappe/a"})
    assert "iptables -I DOCKER-USER -d 10.64.0.0/12 -j RETURN" in finding.do
    spared = chains.replace(ways, f"-A DOCKER-USER -d 10.64.0.0/12 -j RETURN\n{ways}")
    facts["before_ufw"] = list(iptables.Chains(spared).before_ufw())
    assert [] == doctor.judge({**facts, "chains": spared}, {"grappe/a"})


def test_lab_certificate_is_made_again_self_signed() -> None:
    """YunoHost's `cert renew` skips all but Let's Encrypt's."""
    ending = [{"server": "s", "project": "p", "left": doctor.DAY}]
    (finding,) = doctor.judge({**HEALTHY, "certificates": ending}, set())
    assert "cert install $(cat /etc/yunohost/current_host) --self-signed --force" in finding.do


def test_remedies_name_the_program_of_an_incus_host() -> None:
    lxd = {"projects": [], "networks": [], "program": "incus"}
    (finding,) = doctor.judge(
        {**HEALTHY, "lxd": lxd, "unreadable": ["grappe-a_yuno1"]}, {"grappe/a"}
    )
    assert finding.do.endswith("incus restart NAME --project PROJECT")


@pytest.mark.parametrize("unexplained", [True, False])
def test_doctor_does_not_advise_to_run_doctor(unexplained: bool) -> None:
    """If no cause is known, it also lists rules that drop a part of the packets."""
    marks = dict.fromkeys(("ssh", "http", "https", "installed", "asked"), "-")
    row = check.Row(
        "alice", "yuno1", "running", **marks, ok=False, faults=("https: timed out",),
        remedy="./lab up a; where that does not help: ./lab doctor a", unexplained=unexplained,
    )  # fmt: skip
    rule = "-A INPUT -p tcp -m tcp --dport 443 -m connlimit --connlimit-above 1 -j DROP"
    rules = iptables.Chains("\n".join(["*filter", rule, *JUMPS])).before_ufw()
    found = doctor_command.judge({**UP, "before_ufw": list(rules)}, [("a", row)])
    assert found[0].what == "alice/yuno1: https: timed out"
    assert ("doctor" in found[0].do) is not unexplained
    assert [finding.seen for finding in found[1:]] == [rule] * unexplained


def disk(path: str, size: int = 10 * 2**30, **changes: Any) -> dict[str, Any]:
    return {"path": path, "type": "disk", "size": size, "holds": "", "mounted": "", "parts": [],
            **changes}  # fmt: skip


SERVER: dict[str, Any] = {
    "missing": [], "systemd": True, "netfilter": True, "memory": 8 * 10**9, "processors": 4,
    "addresses": ["192.168.8.10"], "daemons": {},
    "root": {"type": "btrfs", "used": 2 * 2**30, "devices": ["/dev/sda1"], "mirrored": False},
    "disks": [disk("/dev/sda", parts=[disk("/dev/sda1", type="part")]), disk("/dev/sdb")],
}  # fmt: skip


def host_spec(**changes: Any) -> preflight.HostPreflightSpec:
    values = {"daemon": "lxd", "second_disk": "/dev/sdb", "overwrite": False, **changes}
    return preflight.HostPreflightSpec(host="ssh://lab", owner="grappe/lab", name="p", **values)


@pytest.mark.parametrize(
    ("spec", "facts", "words"),
    [
        ({}, {}, ""),
        ({"second_disk": ""}, {"root": {**SERVER["root"], "type": "ext4"}}, ""),
        ({}, {"root": {**SERVER["root"], "type": "ext4"}}, "only btrfs takes a mirror"),
        ({"second_disk": "/dev/sda"}, {}, '"/dev/sda" is the root disk. Free disks: /dev/sdb'),
        ({"second_disk": "/dev/sda1"}, {}, '"/dev/sda1" is the root disk'),
        ({"second_disk": "/dev/sdz"}, {}, "does not exist"),
        ({}, {"disks": [disk("/dev/sdb", holds="ext4")]}, "grappe:overwrite: true"),
        ({"overwrite": True}, {"disks": [disk("/dev/sdb", holds="ext4")]}, ""),
        ({"overwrite": True}, {"disks": [disk("/dev/sdb", mounted="/srv")]}, "is mounted on /srv"),
        ({}, {"disks": [disk("/dev/sdb", size=2**30)]}, "is too small: 1.0 GiB"),
        ({}, {"disks": [disk("/dev/sdb", parts=[disk("/dev/sdb1")])],
              "root": {**SERVER["root"], "devices": ["/dev/sda1", "/dev/sdb1"]}}, ""),
        # The kernel has given the mirror's name to another disk.
        ({}, {"disks": [disk("/dev/sdb", mounted="/backup")],
              "root": {**SERVER["root"], "devices": ["/dev/sda1", "/dev/sdc1"], "mirrored": True}}, ""),
        ({}, {"disks": [disk("/dev/sdb", mounted="/backup")],
              "root": {**SERVER["root"], "devices": ["/dev/sda1", "/dev/sdc1"]}}, "is mounted on"),
        ({"daemon": "incus"}, {"daemons": {"lxd": {"instances": 3}}}, "Set grappe:daemon: lxd"),
        ({}, {"systemd": False}, "does not run systemd"),
        ({}, {"missing": ["apt-get"]}, "has no apt-get"),
        ({}, {"netfilter": False}, "has no netfilter"),
    ],
)  # fmt: skip
def test_unfit_bare_server_is_refused(
    spec: dict[str, Any], facts: dict[str, Any], words: str
) -> None:
    """By its system, daemons and disks; a fit one is not refused."""
    said = "; ".join(m.reason for m in preflight.judge(host_spec(**spec), {**SERVER, **facts}))
    assert (words in said) if words else said == ""


def test_server_below_the_sheets_size_is_a_warning() -> None:
    """Too little memory, one processor, a NAT address, foreign instances: no refusal."""
    poor = {**SERVER, "memory": 10**9, "processors": 1, "addresses": ["10.0.2.15"],
            "daemons": {"lxd": {"strangers": 2}}}  # fmt: skip
    assert 4 == len(list(preflight.warnings(host_spec(), poor)))
    assert [] == list(preflight.warnings(host_spec(), SERVER))
    assert [] == preflight.judge(host_spec(), poor)


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"host": "netns:x"}, "host", "is a namespace"),
        ({"daemon": "docker"}, "daemon", "is not one of lxd, lxd-snap, incus"),
        ({"second_disk": "sdb; rm -rf /"}, "second_disk", "is not a disk"),
        ({"overwrite": "true"}, "overwrite", "has no meaning"),
        ({"upgrade": "maybe"}, "upgrade", "true or false"),
        ({"number": "3"}, "number", "another kind of stack"),
    ],
)
def test_a_host_stack_file_is_checked(changes: dict[str, str], key: str, words: str) -> None:
    """Nothing of a shell's gets into a script."""
    texts = {f"grappe:{k}": v for k, v in {"host": "ssh://lab", **changes}.items()}
    with pytest.raises(problems.Mistakes) as found:
        lab_host.parse(texts, project="grappe", stack="lab")
    assert words in {m.key: m.reason for m in found.value.mistakes}[f"grappe:{key}"]


def test_the_scripts_are_in_the_sheets_order() -> None:
    """The disk only where there is one; ssh's port stays open; a login that is not root asks sudo."""
    spec = lab_host.parse({"grappe:host": "ssh://lab"}, project="grappe", stack="lab")
    steps = scripts.for_host(spec, 2222)
    assert ["packages", "daemon", "firewall", "forwarding", "limits", "proxy"] == [
        s.name for s in steps
    ]
    firewall = steps[2].do
    assert firewall.index("ufw allow 2222/tcp") < firewall.index("ufw --force enable")
    assert firewall == scripts.as_root(firewall, "root")
    assert scripts.as_root(firewall, "teacher").startswith("exec sudo -n -- sh -c ")


# The programs that a step runs, as stubs; each notes its arguments.
STUBS = {
    "disk": {"findmnt": "echo btrfs", "lsblk": "case $* in *TYPE*) echo disk;; esac", "btrfs":
             "case $* in *show*) printf ' path %s\\n' /dev/sda1 /dev/sdc1;; "
             "*' df '*) printf '%s, RAID1: x\\n' Data Metadata System;; esac",
             "wipefs": "", "sfdisk": "", "udevadm": ""},
    "daemon": {"lxc": "case $* in 'query '*) echo '[{\"fingerprint\": \"by-hand\", \"cached\": false}, "
               "{\"fingerprint\": \"brought\", \"cached\": true}]';; 'storage delete '*) exit 1;; esac"},
}  # fmt: skip


def run_step(folder: pathlib.Path, step: str, *, undo: bool = False) -> tuple[Any, str]:
    """Run a step with stubs; return its result, and what it called."""
    texts = {
        "grappe:host": "ssh://lab",
        "grappe:second_disk": "/dev/sdb",
        "grappe:overwrite": "true",
    }
    spec = lab_host.parse(texts, project="grappe", stack="lab")
    (made,) = (each for each in scripts.for_host(spec) if each.name == step)
    (folder / "notes").mkdir()
    (folder / "notes/daemon").touch()
    for name, body in STUBS[step].items():
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{body}\n')
        (folder / name).chmod(0o755)
    text = made.undo if undo else made.do
    for old, new in (("PATH=", f"PATH={folder}:"), ("/var/lib/grappe-host", f"{folder}/notes"),
                     ("/var/lib/grappe ]", f"{folder}/labs ]")):  # fmt: skip
        text = text.replace(old, new)
    done = command.execute(["sh", "-c", text])
    return done, (folder / "calls").read_text()


def test_mirrored_host_leaves_a_disk_of_the_same_name_alone(tmp_path: pathlib.Path) -> None:
    """A disk plugged in since may have the name; `overwrite: true` is still in the stack file."""
    done, calls = run_step(tmp_path, "disk")
    assert (0, True) == (done.status, "is mirrored already, by /dev/sda1 /dev/sdc1" in done.stdout)
    assert not re.search(r"wipefs|sfdisk|device add|balance", calls)


def test_undone_host_keeps_images_and_volumes_of_people(tmp_path: pathlib.Path) -> None:
    """Those that an instance brought along go; where the pool holds more, LXD stays as it is."""
    done, calls = run_step(tmp_path, "daemon", undo=True)
    assert (0, True) == (done.status, "for its pool holds images or volumes" in done.stdout)
    assert ["lxc image delete brought"] == re.findall(r"lxc image delete .*", calls)
    assert calls.rstrip().endswith("lxc profile device add default root disk path=/ pool=default")
    assert "network delete" not in calls


def test_ssh_settings_are_parsed() -> None:
    """Values by keyword, several in their order."""
    text = "hostname 192.0.2.1\nport 22\nidentityfile ~/a\nidentityfile ~/b\n"
    assert ["~/a", "~/b"] == ssh_settings.parse(text)["identityfile"]
