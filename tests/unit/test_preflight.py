"""The preflight of a lab against a captured survey of a host: obstacles and notes."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
from typing import Any

import pytest

from checks import conflicts
from checks.preflight import host
from checks.preflight import lab as preflight
from checks.preflight.spec import PlannedProxy, PlannedServer, PreflightSpec
from remote import haproxy_unit, identity, managed_block
from remote.surveys import hosts_file
from remote.surveys import lab as surveyed
from remote.unmanaged import haproxy as unmanaged_haproxy
from remote.unmanaged import nat as unmanaged_nat

SURVEY = json.loads((pathlib.Path(__file__).parent / "golden" / "survey.json").read_text())
LAB = PreflightSpec(
    host="ssh://lab", owner="grappe/bob", name="preflight", number=8, student="bob",
    project="grappe-bob", bridge="gr-8", subnet="10.64.8.0/24",
    servers=(PlannedServer(name="yuno1", domain="yuno1.bob.grappe.test", port=22292,
                                 address="10.64.8.10", image="standin"),),
)  # fmt: skip


def facts(**changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(SURVEY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        group = found
        for parent in parents:
            group = group[parent]
        group[last] = value
    return found


def test_haproxy_validates_only_changed_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Around our part; what it accepted at our last change is not validated again."""
    config = managed_block.put("global\n", "ours\n")
    files = {"/etc/haproxy/haproxy.cfg": config, "/store/haproxy/loaded": "global\n"}
    monkeypatch.setattr(surveyed, "_text", files.get)
    checked: list[str] = []

    def run(argv: list[str], _environment: object, kept: list[int]) -> tuple[int, str, str]:
        assert argv[-1] == f"/proc/self/fd/{kept[0]}"
        checked.append(pathlib.Path(argv[-1]).read_text())
        return 1, "", "[ALERT] unknown keyword"

    monkeypatch.setattr(surveyed.programs, "run", run)
    monkeypatch.setattr(surveyed.programs, "which", lambda name: name)
    assert "" == surveyed._haproxy("/store", haproxy_unit.parse("", str))
    for changed in ("global\n  nonsense\n", None):
        files["/store/haproxy/loaded"] = changed
        assert "[ALERT] unknown keyword" == surveyed._haproxy("/store", haproxy_unit.parse("", str))
    assert ["global\n"] * 2 == checked


def test_free_host_has_no_obstacle() -> None:
    """No mistake, also when another student is there."""
    assert [] == preflight.judge(LAB, facts())


def test_lab_that_is_up_passes_its_own_preflight() -> None:
    """Its own network, project, port and domain are no obstacles."""
    mine = {"config": {identity.OWNER: "grappe/bob"}}
    found = facts(
        lxd__networks=[{"name": "gr-8", "managed": True, **mine}],
        lxd__projects=[{"name": "grappe-bob", **mine}],
        fragments=[{"id": "grappe/bob/yuno1_ssh", "owner": "grappe/bob", "keys": ["tcp/22292"]},
                   {"id": "grappe/bob/yuno1", "owner": "grappe/bob",
                    "keys": ["domain yuno1.bob.grappe.test"]}],
        subnets=[{"interface": "gr-8", "subnet": "10.64.8.1/24"}],
    )  # fmt: skip
    assert [] == preflight.judge(LAB, found)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (8080, 8080, []),
        (22222, 22222, ["22222 is alice's (stack grappe/alice)."]),
        (22292, 22292, ["22292 is the SSH port of yuno1."]),
        (440, 450, ["443 is where the pages of all labs come in."]),
        (22, 25, ["22 is in use on the host, by sshd."]),
        (9000, 9000, []),
    ],
)
def test_a_device_takes_no_port_of_others(first: int, last: int, words: list[str]) -> None:
    """Pages, students' ports, the host's programs; one of its own that is up may stay."""
    found = facts(
        listening=[{"port": 22, "program": "sshd"}, {"port": 9000, "program": "lxd"}],
        fragments=[{"id": "grappe/alice/a_ssh", "owner": "grappe/alice", "keys": ["tcp/22222"]}],
    )
    key = "grappe:servers[0].devices.d.listen"
    spec = dataclasses.replace(LAB, proxies=(PlannedProxy(key=key, first=first, last=last),))
    assert [(key, each) for each in words] == [
        (mistake.key, mistake.reason) for mistake in preflight.judge(spec, found)
    ]


THEIRS = {"config": {identity.OWNER: "grappe/alice"}}
CASES = {
    "no programs": ({"missing": ["haproxy", "ufw"]}, ["apt install haproxy", "apt install ufw"]),
    "no LXD": ({"lxd": {"error": "there is no LXD"}}, ["ssh://lab: there is no LXD"]),
    "HAProxy was broken": (
        {"haproxy": "[ALERT]    (1) : config : parsing [x:1] : unknown keyword 'y'"},
        ["before Grappe has changed anything: config : parsing [x:1] : unknown keyword 'y'"],
    ),
    "the number is taken": (
        {"lxd__networks": [{"name": "gr-8", "managed": True, **THEIRS}]},
        ["8 is alice's (stack grappe/alice), on ssh://lab. Free: 1 to 7, 9 to 4000."],
    ),
    "the project is not ours": (
        {"lxd__projects": [{"name": "grappe-bob", "config": {}}]},
        ["taken by something that Grappe did not make: the LXD project grappe-bob exists"],
    ),
    "port and domain are taken": (
        {"fragments": [{"id": "x", "owner": "grappe/alice",
                        "keys": ["tcp/22292", "domain yuno1.bob.grappe.test"]}]},
        ["22292 is alice's (stack grappe/alice).",
         '"yuno1.bob.grappe.test" is alice\'s (stack grappe/alice).'],
    ),
    "the port is the host's": (
        {"listening": [{"port": 22292, "program": "nginx"}]},
        ["22292 is in use on the host, by nginx."],
    ),
    "somebody has the web ports": (
        {"listening": [{"port": 80, "program": "nginx"}]}, ["port 80 is taken by nginx; HAProxy needs it"],
    ),
    "another DNS server has all addresses": (
        {"listening": [{"port": 53, "program": "unbound", "everywhere": True}]},
        ["port 53 of all addresses is taken by unbound; LXD serves DNS on labs' bridges there"],
    ),
    "another frontend has the web ports": (
        {"files": {"/etc/haproxy/haproxy.cfg": "frontend x\n    bind *:443\n"}},
        ["/etc/haproxy/haproxy.cfg:2 listens there too: bind *:443"],
    ),
    "a frontend in another file of HAProxy's": (
        {"configs": {"/etc/haproxy/conf.d/b.cfg": "listen b\n  bind 127.0.0.1:79-81\n"}},
        ["/etc/haproxy/conf.d/b.cfg:2 listens there too: bind 127.0.0.1:79-81"],
    ),
    "HAProxy loads another file": (
        {"haproxy_loads": ["/etc/haproxy/site.cfg"]},
        ["HAProxy loads /etc/haproxy/site.cfg, and not /etc/haproxy/haproxy.cfg, where Grappe's part "
         'goes. On the host: set CONFIG="/etc/haproxy/haproxy.cfg" in /etc/default/haproxy'],
    ),
    "a shared file is a link": (
        {"fixed": {"/etc/haproxy/haproxy.cfg": ["is a symbolic link to /srv/x", "make it a real file"]}},
        ["haproxy.cfg is a symbolic link to /srv/x. On the host: make it a real file"],
    ),
    "UFW's script is python": (
        {"files": {"/etc/ufw/after.init": "#!/usr/bin/env python3\nimport os\n"}},
        ["after.init is not a shell script (#!/usr/bin/env python3)"],
    ),
    "HAProxy is masked": ({"haproxy_masked": True}, ["systemctl unmask haproxy"]),
    "a section has the name of ours": (
        {"configs": {"/etc/haproxy/conf.d/a.cfg": "frontend grappe_http\n  bind :9\n"}},
        ["/etc/haproxy/conf.d/a.cfg has a frontend grappe_http, a name that Grappe's own part takes"],
    ),
    "a table of nft's drops": (
        {"filters": [{"table": "inet mine", "name": "in", "kind": "filter", "hook": "input",
                      "policy": "drop", "rules": ["tcp dport { 80, 443 } accept"]}]},
        ['nft insert rule inet mine in iifname "gr-*" accept'],
    ),
    "a frontend below our part": (
        {"files": {"/etc/haproxy/haproxy.cfg":
                   managed_block.put("global\n", "bind *:80\n") + "frontend x\n  bind :80,:8080\n"}},
        ["/etc/haproxy/haproxy.cfg:6 listens there too: bind :80,:8080"],
    ),
    "the port leads elsewhere": (
        {"nat": ["-A PREROUTING -p tcp -m tcp --dport 22292 -j DNAT --to-destination 10.0.0.5:22"]},
        ["22292 is already redirected on the host: -A PREROUTING"],
    ),
    "the web's ports lead elsewhere": (
        {"nat": ["-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 1.2.3.4:80"]},
        ["80 is already redirected on the host: -A DOCKER"],
    ),
    "a route over the network": (
        {"routes": [{"to": "10.64.8.0/24", "device": "eth0", "table": "",
                     "line": "10.64.8.0/24 via 192.168.8.1 dev eth0"}]},
        ["8 means 10.64.8.0/24, which the host routes elsewhere: 10.64.8.0/24 via 192.168.8.1"],
    ),
    "a rule over the network": (
        {"routes": [{"to": "10.64.8.0/24", "device": "", "table": "rule",
                     "line": "rule from all to 10.64.8.0/24 prohibit"}]},
        ["on the host: ip rule del from all to 10.64.8.0/24 prohibit"],
    ),
    "a table of a tunnel's over the network": (
        {"routes": [{"to": "10.0.0.0/8", "device": "wg0", "table": "51820",
                     "line": "10.0.0.0/8 dev wg0 table 51820"}]},
        ["which the host routes elsewhere: 10.0.0.0/8 dev wg0 table 51820"],
    ),
    "a profile with a second leg": (
        {"lxd__brings": {"default": {"root": {"type": "disk", "path": "/"}, "eth1": {
            "type": "nic", "network": "lxdbr0"}}}},
        ["its device eth1 (network lxdbr0) is a second way out of the server"],
    ),
    "a profile whose NIC is called as ours": (
        {"lxd__brings": {"default": {"root": {"type": "disk", "path": "/"}, "lan": {
            "type": "nic", "name": "eth0", "parent": "br0"}}}},
        ["its device lan (network br0) is called eth0 inside, as the server's own"],
    ),
    "a profile that listens on the host": (
        {"lxd__brings": {"default": {"root": {"type": "disk", "path": "/"}, "web": {
            "type": "proxy", "listen": "tcp:0.0.0.0:2222"}}}},
        ["its device web listens at tcp:0.0.0.0:2222, which one server alone can"],
    ),
    "a profile whose folder is gone": (
        {"lxd__brings": {"default": {"root": {"type": "disk", "path": "/", "pool": "p"}, "share": {
            "type": "disk", "source": "/srv/share", "path": "/mnt"}}}, "lxd__gone": ["/srv/share"]},
        ["the host has no /srv/share, which its device share brings"],
    ),
    "a bridge that is called as ours": (
        {"subnets": [{"interface": "gr-tp", "subnet": "10.200.0.1/24"}]},
        ["gr-tp on ssh://lab is not Grappe's, and its rules for labs, gr-*, would shut it off"],
    ),
    "no root disk": ({"lxd__brings": {"default": {}}}, ["none of them has a root disk"]),
    "a damaged part": (
        {"files": {"/etc/ufw/before.rules": managed_block.BEGIN + "\n"}},
        ["the managed part of /etc/ufw/before.rules is damaged"],
    ),
    "no such image": ({"lxd__aliases": {"a": "1", "b": "2"}, "lxd__images": {}}, ["Its aliases: a, b."]),
    "HAProxy without its own name": (
        {"files": {"/etc/haproxy/haproxy.cfg": "global\n\tresetenv PATH # ours\n\tresetenv "
                   "HAPROXY_LOCALPEER PATH\n\tunsetenv A HAPROXY_LOCALPEER\n"}},
        ["/etc/haproxy/haproxy.cfg:2 takes HAProxy's own name from Grappe's part: resetenv PATH",
         "haproxy.cfg:4 takes HAProxy's own name from Grappe's part: unsetenv A"],
    ),
    "no such profile": ({"lxd__profiles": ["big"]}, ["Its own: big."]),
    "the network is in use": (
        {"subnets": [{"interface": "eth0", "subnet": "10.64.0.1/16"}]},
        ["8 means 10.64.8.0/24, which the host has on eth0."],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "taken", "free"),
    [
        ("-A PREROUTING -p tcp -m tcp --dport 22292 -j DNAT --to-destination 10.0.0.5:22", 22292, 80),
        ("-A PREROUTING -p tcp -m multiport --dports 80,443 -j DNAT --to-destination 10.0.0.5", 80, 81),
        ("-A X -d 192.168.8.10/32 -p tcp -m tcp --dport 22000:22999 -j REDIRECT --to-ports 1", 22292, 80),
        ("-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:8443",
         443, 80),
        ("-A PREROUTING -p tcp -m tcp ! --dport 22 -j DNAT --to-destination 10.0.0.5", 80, 22),
        ("-A PREROUTING -d 192.168.8.10/32 -j DNAT --to-destination 10.0.0.5", 22292, 0),
        ("-A PREROUTING -p udp -m udp --dport 22292 -j DNAT --to-destination 10.0.0.5", 0, 22292),
        ("-A OUTPUT -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.5", 0, 80),
        ("-A POSTROUTING -s 10.64.1.0/24 -j MASQUERADE", 0, 80),
        ("-A GRAPPE-DNAT -p tcp -m tcp --dport 22292 -j DNAT --to-destination 10.64.8.10:22", 0, 22292),
        ("nft ip mine pre: tcp dport { 80, 443 } dnat to 10.0.0.5", 443, 81),
        ("nft inet mine pre: tcp dport 22000-22999 redirect to :1", 22292, 80),
        ("nft ip mine pre: dnat to tcp dport map { 22292 : 10.0.0.5 }", 22292, 80),
        ("nft ip mine pre: ip daddr 192.168.8.10 dnat to 10.0.0.5", 22292, 0),
        ("nft ip mine pre: tcp dport != 22 dnat to 10.0.0.5", 80, 22),
        ("nft ip mine pre: udp dport 53 redirect to :5353", 0, 53),
        ('nft ip mine pre: tcp dport 22292 dnat to 10.0.0.5:22 comment "bob@example.org, not udp"', 22292, 80),
        ("nft ip nat GRAPPE-DNAT: tcp dport 22292 dnat to 10.64.8.10:22", 0, 22292),
    ],
)  # fmt: skip
def test_ports_of_any_nat_rule_are_found(line: str, taken: int, free: int) -> None:
    """By a port, a list, a range, none, or all but one; of tcp, and on the way in."""
    ports = unmanaged_nat.redirected_ports(line)
    assert not taken or any(taken in part for part in ports)
    assert not any(free in part for part in ports)


NOTHING_WRONG = {
    "shorter routes of the main table": {"routes": [
        {"to": "10.0.0.0/8", "device": "vpn", "table": "", "line": "10.0.0.0/8 dev vpn"},
        {"to": "10.64.8.0/24", "device": "gr-8", "table": "", "line": "10.64.8.0/24 dev gr-8"}]},
    "a profile's NIC that ours takes the place of": {"lxd__brings": {"default": {
        "root": {"type": "disk", "path": "/"}, "eth0": {"type": "nic", "network": "lxdbr0"}}}},
    "chains of a cluster": {"nat": ["-A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 10.42.0.2"]},
    "bridges of labs and of golden images": {"subnets": [
        {"interface": "gr-9", "subnet": "10.64.9.1/24"}, {"interface": "gr-i3", "subnet": "10.72.3.1/24"}]},
    "a DNS server on its own address": {"listening": [{"port": 53, "program": "dnsmasq", "everywhere": False}]},
    "HAProxy itself": {"listening": [{"port": 80, "program": "haproxy"}]},
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING_WRONG)
def test_harmless_configuration_is_not_refused(case: str) -> None:
    """Each case resembles an obstacle."""
    assert [] == preflight.judge(LAB, facts(**NOTHING_WRONG[case]))


DENY_PAGES = "### tuple ### deny tcp 80,443 0.0.0.0/0 any 192.168.8.20 in"
DENY_PORT = "### tuple ### limit tcp 22000:22999 0.0.0.0/0 any 10.0.0.0/8 in_eth0"
DENY_SERVER = "### tuple ### route:reject any any 10.64.8.10 any 0.0.0.0/0 in_eth0!out_gr-8"


def test_ufw_denials_are_reported() -> None:
    """An ineffective rule with one that works; an effective one with whom it keeps out."""
    found = facts(ufw_rules=[
        DENY_PAGES, DENY_PORT, DENY_SERVER,
        "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### deny any any ::/0 any ::/0 in",
        "### tuple ### deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
    ])  # fmt: skip
    notes = preflight.notes(LAB, found)
    assert [
        "`ufw limit in on eth0 tcp from 10.0.0.0/8 port 22000:22999` keeps nobody out of 22292: "
        "DNAT forwards that port before UFW filters. This rule works: ufw route insert 1 limit "
        "in on eth0 proto tcp "
        "from 10.0.0.0/8 to 10.64.8.10 port 22",
        "`ufw deny tcp from 192.168.8.20 port 80,443` is in effect: it keeps people from "
        "192.168.8.20/32 out "
        "of 80 and 443",
        "`ufw route reject in on eth0 to 10.64.8.10` is in effect: it keeps people by eth0 out "
        "of 22292",
    ] == notes
    assert [] == preflight.notes(LAB, facts())


@pytest.mark.parametrize(
    ("rule", "works"),
    [
        ("deny any any 0.0.0.0/0 any 192.168.8.20 in", "deny from 192.168.8.20/32 to 10.64.0.0/12"),
        ("reject any any 0.0.0.0/0 any 0.0.0.0/0 in_eth1", "reject in on eth1 from any to 10.64.0.0/12"),
        ("deny tcp any 0.0.0.0/0 any 192.168.8.0/24 in", "deny from 192.168.8.0/24 to 10.64.0.0/12"),
        ("deny any any 0.0.0.0/0 any 10.64.0.0/16 in", ""),
        ("deny any any 0.0.0.0/0 any 0.0.0.0/0 in", ""),
        ("deny any any 192.168.8.10 any 192.168.8.20 in", ""),
        ("deny udp any 0.0.0.0/0 any 192.168.8.20 in", ""),
        ("route:deny any any 0.0.0.0/0 any 192.168.8.20 in", ""),
    ],
)  # fmt: skip
def test_a_denial_of_everything_does_not_reach_forwarded_ports(rule: str, works: str) -> None:
    """DNAT comes before it; the rule that does keep them out is said."""
    notes = preflight.notes(LAB, facts(ufw_rules=[f"### tuple ### {rule}"]))
    found = [line for line in notes if "keeps nobody out of the servers' ports" in line]
    assert [f"This rule does: ufw route insert 1 {works}"] * bool(works) == [
        line.partition(". ")[2] for line in found
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("deny any 80 0.0.0.0/0 any 0.0.0.0/0 in comment=6e6f", "keeps people out of 80"),
        ("deny_log tcp 22292 0.0.0.0/0 any 0.0.0.0/0 in", "ufw route insert 1 deny proto tcp"),
        ("deny any any 0.0.0.0/0 any 10.0.0.0/8 in", "keeps servers from DNS and DHCP"),
        ("deny any 53 0.0.0.0/0 any 0.0.0.0/0 in", "keeps servers from DNS and DHCP"),
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 in_eth1", "keeps people by eth1 out of 443"),
        ("limit tcp 80 0.0.0.0/0 any 0.0.0.0/0 in", "who connect six times in 30 s out of 80"),
        ("deny udp 80 0.0.0.0/0 any 0.0.0.0/0 in", ""),
        ("deny any any 0.0.0.0/0 any 0.0.0.0/0 out", "HAProxy does not reach 80 and 443"),
        ("deny any any 0.0.0.0/0 any 0.0.0.0/0 out_eth0", ""),
    ],
)
def test_each_denial_says_what_it_does(rule: str, words: str) -> None:
    """With a comment, logged, for an interface or a network; what concerns no lab is not reported."""
    notes = preflight.notes(LAB, facts(ufw_rules=[f"### tuple ### {rule}"]))
    assert words in " ".join(notes)
    assert bool(words) is bool(notes)


def tuples(rules: list[str]) -> list[str]:
    """Return rules as the comments of UFW's file."""
    return [f"### tuple ### {rule}" for rule in rules]


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ("allow any any 0.0.0.0/0 any 192.168.8.0/24 in", ""),
        ("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in", "out of 443"),
        ("allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in", ""),
        ("allow any any 0.0.0.0/0 any 192.168.8.20 in", "out of 80 and 443"),
        ("allow any any 0.0.0.0/0 any 192.168.8.0/24 in_eth1", "out of 80 and 443"),
        ("route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in", "out of 80 and 443"),
        ("limit tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in", "out of 80 and 443"),
    ],
)
def test_what_an_earlier_rule_allows_is_not_denied(earlier: str, words: str) -> None:
    """UFW's first rule that matches decides."""
    rules = tuples([earlier, "deny any any 0.0.0.0/0 any 192.168.8.0/24 in"])
    found = [note for note in preflight.notes(LAB, facts(ufw_rules=rules)) if "effect" in note]
    told = " ".join(note for note in found if note.startswith("`ufw deny"))
    assert words in told
    assert bool(words) is bool(told)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            [],
            "does not reach 80 and 443 of the servers. On the host: ufw allow out to 10.64.0.0/12",
        ),
        (["allow any any 10.64.0.0/12 any 0.0.0.0/0 out"], ""),
        (["allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 out comment=6e6f"], ""),
        (["allow any any 0.0.0.0/0 any 0.0.0.0/0 out_gr-+"], ""),
        (["allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 out"], "does not reach 80 of the servers"),
        (["allow any 53 0.0.0.0/0 any 0.0.0.0/0 out"], "does not reach 80 and 443"),
        (["allow any any 0.0.0.0/0 any 0.0.0.0/0 out_eth0"], "does not reach 80 and 443"),
        (["allow any any 10.64.0.0/12 any 0.0.0.0/0 in"], "does not reach 80 and 443"),
    ],
)
def test_default_that_lets_nothing_out_is_refused(rules: list[str], words: str) -> None:
    """Unless a rule lets HAProxy reach the servers; a lab that is up goes on, with a note."""
    shut = facts(ufw_output="DROP", ufw_rules=tuples(rules))
    told = " ".join(mistake.reason for mistake in preflight.judge(LAB, shut))
    assert words in told
    assert bool(words) is bool(told)
    assert not preflight.notes(LAB, shut)


OWN = {"subnets": [{"interface": "eth0", "subnet": "192.168.8.10/24"},
                   {"interface": "docker0", "subnet": "172.17.0.1/16"},
                   {"interface": "lo", "subnet": "127.0.0.1/8"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "ports"),
    [
        (["-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j MYWEB",
          "-A MYWEB -j DNAT --to-destination 10.0.0.9"], [80]),
        (["-A PREROUTING -d 203.0.113.77/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9"],
         []),
        (["-A PREROUTING -d 192.168.8.0/24 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9"],
         [80]),
        (["-A PREROUTING -i docker0 -p tcp -m tcp --dport 8000:23000 -j REDIRECT --to-ports 1"], []),
        (["-A PREROUTING ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.0.9"],
         [443]),
        (["nft ip mine pre: ip daddr 203.0.113.5 meta l4proto tcp dnat ip to 10.0.0.8"], []),
        (["nft ip mine pre: dnat to tcp dport map @m"], []),
        (["nft ip mine pre: ip daddr 192.168.8.10 tcp dport 80 dnat to 10.0.0.8"], [80]),
        (['nft ip mine pre: iifname "eth*" tcp dport 22292 dnat to 10.0.0.5:22'], [22292]),
        (['nft ip mine pre: iifname "wg*" tcp dport 22292 dnat to 10.0.0.5:22'], []),
        (['nft ip mine pre: iifname { "wg0", "wg1" } tcp dport 80 redirect to :8080'], []),
        (['nft ip mine pre: iifname { "wg0", "eth0" } tcp dport 80 redirect to :8080'], [80]),
        (["nft ip mine pre: ip daddr != 192.168.8.10 tcp dport 80 redirect to :3128"], []),
        (["-A PREROUTING -i eth+ -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3129"], [80]),
        (["-A PREROUTING -i virbr0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3129"], []),
        (["-A PREROUTING -s 172.17.0.0/16 -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 1"], []),
        (["-A PREROUTING -s 203.0.113.0/24 -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 1"], [443]),
        (["-A PREROUTING ! -d 192.168.8.10/32 -i eth0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 1"],
         []),
        (["-A PREROUTING -p tcp -m addrtype ! --dst-type LOCAL -m tcp --dport 80 -j REDIRECT --to-ports 1"],
         []),
        (["-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 22292 -j DNAT "
          "--to-destination 172.17.0.2:22"], []),
    ],
)  # fmt: skip
def test_only_redirects_of_a_labs_ports_are_reported(lines: list[str], ports: list[int]) -> None:
    """By an address and an interface that the host has, also through a chain of somebody's own."""
    found = list(conflicts.redirects({"nat": lines, **OWN}, [22292, 80, 443]))
    assert ports == [port for taken, _line in found for port in taken]


@pytest.mark.parametrize("by", ["-i br-lan", "-d 192.168.9.1/32", "-d 198.51.100.7/32"])
def test_redirect_on_the_hosts_own_bridge_is_reported(by: str) -> None:
    """A bridge may be its way out, and `lo` may have an address that people dial."""
    subnets = [*OWN["subnets"], {"interface": "br-lan", "subnet": "192.168.9.1/24"},
               {"interface": "lo", "subnet": "198.51.100.7/32"}]  # fmt: skip
    rule = f"-A PREROUTING {by} -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.0.9"
    found: Any = {"nat": [rule], "subnets": subnets}
    assert [([443], rule)] == list(conflicts.redirects(found, [443]))


def test_later_redirect_is_only_noted_for_a_lab_that_is_up() -> None:
    """Nothing is to be created, so it is no refusal."""
    rule = "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.5:80"
    up = facts(nat=[rule], fragments=[{"id": "grappe/bob/yuno1_ssh", "owner": "grappe/bob",
                                       "keys": ["tcp/22292"]}])  # fmt: skip
    assert [] == preflight.judge(LAB, up)
    assert [f"80 is redirected too: {rule}"] == preflight.notes(LAB, up)


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("bind *:80", {80}), ("  bind :443 ssl crt /x", {443}), ("bind *:80,*:8080", {80, 8080}),
        ("bind [::]:80 v4v6", {80}), ("bind ipv4@192.168.8.10:80", {80}), ("bind *:79-81", {79, 80, 81}),
        ("bind 127.0.0.1:80", {80}), ("bind ${ADDR}:443", {443}), ("bind 0.0.0.0:80 name x", {80}),
        ("bind /run/x.sock", set()), ("# bind *:80", set()), ("bind-process 80", set()),
        ("bind quic4@:443 ssl", set()), ("server a 10.0.0.1:80", set()),
    ],
)  # fmt: skip
def test_ports_of_any_bind_line_are_found(line: str, ports: set[int]) -> None:
    """Lists, ranges, addresses of both kinds; a socket or UDP is none."""
    found = unmanaged_haproxy.binds(f"frontend x\n{line}\n")
    assert ([(2, ports, line.strip())] if ports else []) == found


@pytest.mark.parametrize("case", CASES)
def test_obstacle_is_refused_with_its_holder(case: str) -> None:
    """Each obstacle, with who holds it or how to mend it; nothing beside it."""
    changes, words = CASES[case]
    found = preflight.judge(LAB, facts(**changes))
    assert len(words) == len(found), found
    for expected, mistake in zip(words, found, strict=True):
        assert expected in mistake.reason
        assert mistake.key.startswith("grappe:")


def test_a_server_cannot_take_what_its_neighbour_still_has() -> None:
    """The first of two servers was removed: the second would move to its port and domain."""
    held = {"id": "grappe/bob/yuno0_ssh", "owner": "grappe/bob", "keys": ["tcp/22292"]}
    (mistake,) = preflight.judge(LAB, facts(fragments=[held]))
    assert "22292 still belongs to yuno0" in mistake.reason


def test_a_second_default_is_refused() -> None:
    """A host has one default server."""
    import dataclasses

    planned = dataclasses.replace(LAB, default="yuno1")
    held = [{"id": "x", "owner": "grappe/alice", "keys": ["the default backend"]}]
    (mistake,) = preflight.judge(planned, facts(fragments=held))
    assert "grappe:default" == mistake.key


HOSTS = """127.0.0.1 localhost
192.0.2.7\tyuno1.bob.grappe.test www  # of last year
192.168.8.10 YUNO1.bob.grappe.test
# BEGIN GRAPPE (changed by Grappe alone)
192.168.8.99\tyuno1.bob.grappe.test\t# grappe/bob/yuno1
# END GRAPPE
# 192.0.2.8 yuno1.bob.grappe.test
"""


def test_hosts_line_with_another_address_is_refused(tmp_path: pathlib.Path) -> None:
    """The one that leads elsewhere; one that says the same, ours and a comment are none."""
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    seen = hosts_file.main({"path": str(path), "domains": ["yuno1.bob.grappe.test"]})
    planned = dataclasses.replace(LAB, workstation="local")
    (mistake,) = preflight.judge_workstation(planned, seen, "192.168.8.10")
    assert "line 2 names another address: 192.0.2.7\tyuno1.bob.grappe.test www" in mistake.reason
    seen["fixed"] = {"/etc/hosts": ["is a symbolic link to /x", "make it a real file"]}
    first, _second = preflight.judge_workstation(planned, seen, "192.168.8.10")
    assert "/etc/hosts is a symbolic link to /x. There: make it a real file" in first.reason


def test_missing_host_resources_are_refused_by_key() -> None:
    """A pool, an interface, a member of a cluster, a folder for a device: each with its key."""
    server = dataclasses.replace(LAB.servers[0], target="m2")
    planned = dataclasses.replace(
        LAB, servers=(server,), interface="eth9", pools=(("grappe:pool", "nope"), ("k", "default")),
        paths=(("grappe:servers[0].devices.d.source", "/srv/x"),),
        modules=(("module", "wireguard"), ("k", "overlay")),
        addresses=(("address", "10.9.9.9"), ("k", "192.168.8.10")),
        abilities=(("gpu", "GPU"), ("shift", "shift"), ("idmap", "uid 1000-1009"), ("k", "gid 5-5")),
    )  # fmt: skip
    absent = ["/srv/x", "wireguard", "10.9.9.9", "GPU", "shift", "uid 1000-1009"]
    seen = facts(lxd__pools=["default"], lxd__members=[], absent=absent)
    found = {mistake.key: mistake.reason for mistake in preflight.judge(planned, seen)}
    assert '"nope" is not a pool of the host. Its own: default.' == found.pop("grappe:pool")
    assert "not an interface of the host" in found.pop("grappe:interface")
    assert "is not a cluster: remove it" in found.pop("grappe:servers[0].target")
    assert "does not exist on ssh://lab" in found.pop("grappe:servers[0].devices.d.source")
    assert 'no module "wireguard": modprobe wireguard fails.' in found.pop("module")
    assert '"10.9.9.9" is no address of ssh://lab' in found.pop("address")
    assert "wants a GPU, and ssh://lab has none" in found.pop("gpu")
    assert "needs a kernel that shifts ids of mounts" in found.pop("shift")
    assert "echo root:1000:10 >> /etc/subuid" in found.pop("idmap")
    assert {} == found
    seen = facts(lxd__pools=["default"], lxd__members=["m1"])
    assert [
        "Its members: m1." in mistake.reason for mistake in preflight.judge(planned, seen)
    ].count(True) == 1


def test_later_link_is_only_noted_for_a_lab_that_is_up() -> None:
    """What came in the way since is a note: nothing of the lab need change."""
    seen = facts(
        lxd__projects=[{"name": "grappe-bob", "config": {identity.OWNER: "grappe/bob"}}],
        fixed={"/etc/ufw/before.rules": ["is a symbolic link to /srv/x", "make it a real file"]},
    )
    assert [] == preflight.judge(LAB, seen)
    assert ["make it a real file" in note for note in preflight.notes(LAB, seen)] == [True]


def test_address_on_no_interface_is_noted() -> None:
    """A router may lead it there; a typing error is seen before students dial it."""
    seen = facts(subnets=[{"interface": "eth0", "subnet": "192.168.8.10/24"}])
    planned = dataclasses.replace(LAB, address="192.168.8.99")
    (note,) = preflight.notes(planned, seen)
    assert "grappe:address 192.168.8.99 is on no interface of ssh://lab (192.168.8.10)" in note
    assert [] == preflight.notes(dataclasses.replace(LAB, address="192.168.8.10"), seen)


def test_profile_changed_under_a_lab_that_is_up_is_noted() -> None:
    """The lab may go on as it does; doctor finds it too."""
    brings = {"root": {"type": "disk", "path": "/"}, "eth1": {"type": "nic", "network": "lxdbr0"}}
    seen = facts(
        lxd__brings={"default": brings}, lxd__projects=[{"name": LAB.project, "config": {}}]
    )
    assert any(
        "eth1 (network lxdbr0) is a second way out" in note for note in preflight.notes(LAB, seen)
    )


def test_disk_smaller_than_the_image_is_refused() -> None:
    """By alias or fingerprint; LXD would fail in the middle of the copy."""
    seen = facts(
        lxd__aliases={"standin": "abc"}, lxd__images={"abc": {}}, lxd__sizes={"abc": 9 << 20}
    )
    for image, disk, small in (("standin", 8, True), ("ab", 8, True), ("standin", 9, False),
                               ("standin", 0, False)):  # fmt: skip
        server = dataclasses.replace(LAB.servers[0], image=image, disk=disk << 20)
        said = [
            m.reason for m in preflight.judge(dataclasses.replace(LAB, servers=(server,)), seen)
        ]
        assert small == any(
            "8MiB is too small: the image alone takes 9MiB" in line for line in said
        )


@pytest.mark.parametrize(
    ("driver", "free", "unpacked", "refused"),
    [("btrfs", 9, [], False), ("btrfs", 8, [], True), ("btrfs", 8, ["abc"], False),
     ("dir", 17, ["abc"], True), ("dir", 18, [], False)],
)  # fmt: skip
def test_pool_without_space_for_the_images_is_refused(
    driver: str, free: int, unpacked: list[str], refused: bool
) -> None:
    """An image is unpacked once in a pool; one of kind dir copies it for each server."""
    space = {"driver": driver, "free": free << 20, "unpacked": unpacked}
    seen = facts(lxd__aliases={"standin": "abc"}, lxd__images={"abc": {}}, lxd__pools=["tiny"],
                 lxd__sizes={"abc": 9 << 20}, lxd__spaces={"tiny": space})  # fmt: skip
    first = dataclasses.replace(LAB.servers[0], disk=1 << 30)
    servers = (first, dataclasses.replace(first, name="yuno2", domain="yuno2.bob.grappe.test",
                                          port=22302, address="10.64.8.11"))  # fmt: skip
    spec = dataclasses.replace(LAB, servers=servers, pools=(("grappe:pool", "tiny"),))
    said = [m.reason for m in preflight.judge(spec, seen) if m.key == "grappe:pool"]
    assert refused == bool(said)
    assert all(f'"tiny" has {free}MiB left' in line for line in said)
    assert all("or there: lxc storage info tiny" in line for line in said)
    on_incus = {**seen, "lxd": {**seen["lxd"], "program": "incus"}}
    said = [m.reason for m in preflight.judge(spec, on_incus) if m.key == "grappe:pool"]
    assert all("or there: incus storage info tiny" in line for line in said)
    assert (driver == "dir") == any("of kind dir" in line for line in preflight.notes(spec, seen))


def test_pool_that_does_not_answer_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is missing; the other pools are surveyed."""
    answers = {
        "storage-pools/well/resources": {"space": {"total": 9, "used": 4}},
        "storage-pools/well/volumes/image": ["/1.0/storage-pools/well/volumes/image/abc?target=a"],
        "storage-pools/well": {"driver": "btrfs"},
    }
    monkeypatch.setattr(surveyed.lxd, "query", lambda _socket, path: answers[path])
    found = dict(surveyed.lxd._spaces("/socket", ["away", "well"]))
    assert {"well": {"driver": "btrfs", "free": 5, "unpacked": ["abc"]}} == found


def test_missing_image_of_a_ready_server_passes() -> None:
    """The server was made of it; one of another image, or never ready, still needs it."""
    key = "grappe:servers[0].image"

    def refused(image: str, stage: str) -> bool:
        marks = {"user.grappe.image": image, "user.grappe.stage": stage}
        first = {"name": LAB.servers[0].name, "project": LAB.project, "ephemeral": False,
                 "location": "", "config": marks}  # fmt: skip
        seen = facts(instances=[first], lxd__aliases={}, lxd__images={})
        return key in [mistake.key for mistake in preflight.judge(LAB, seen)]

    image = LAB.servers[0].image
    found = [refused(image, "ready"), refused(image, "creating"), refused("another", "ready")]
    assert [False, True, True] == found


@pytest.mark.parametrize(
    ("condition", "adoptable"),
    [("-i eth0", True), ("-i wg0", False), ("-i tailscale0", False), ("", True)],
)
def test_rule_for_a_private_network_alone_is_not_adopted(condition: str, adoptable: bool) -> None:
    """Grappe's own rule would let everybody in."""
    port = LAB.servers[0].port
    rule = f"-A PREROUTING {condition} -p tcp --dport {port} -j DNAT --to-destination 10.0.0.9:22\n"
    survey: Any = {"files": {"/etc/ufw/before.rules": f"*nat\n{rule}COMMIT\n"}}
    found = list(host.files(dataclasses.replace(LAB, adopt=True), survey))
    assert adoptable is (found == [])
    assert all(f"grappe:interface: {condition[3:]}" in each.reason for each in found)
