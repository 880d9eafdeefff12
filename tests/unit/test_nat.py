"""NAT rules in before.rules, the isolation of students, and their order among UFW's rules."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from providers.lxd.network import model as network
from providers.nat import model
from remote import iptables, managed_block, private_networks, system, ufw_scripts
from remote.targets import nat

RULE = model.RuleSpec(
    host="ssh://lab", owner="grappe/alice", name="yuno1_ssh", port=22222,
    target_address="10.64.1.10", target_port=22, comment="yuno1_ssh",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "-A GRAPPE-DNAT ! -i gr-+ -p tcp -m addrtype --dst-type LOCAL -m comment --comment "
            "yuno1_ssh -m tcp --dport 22222 -j DNAT --to-destination 10.64.1.10:22",
        ),
        (
            {"address": "192.168.8.10", "interface": "eth0"},
            "-A GRAPPE-DNAT -d 192.168.8.10/32 -i eth0 -p tcp -m comment --comment yuno1_ssh "
            "-m tcp --dport 22222 -j DNAT --to-destination 10.64.1.10:22",
        ),
        (
            {"protocol": "udp", "address": "192.168.8.10"},
            "-A GRAPPE-DNAT -d 192.168.8.10/32 ! -i gr-+ -p udp -m comment --comment yuno1_ssh "
            "-m udp --dport 22222 -j DNAT --to-destination 10.64.1.10:22",
        ),
    ],
)
def test_a_rule_is_written_as_iptables_prints_it(changes: dict[str, str], expected: str) -> None:
    """As the sheet writes it where address and interface are named; else for any local one."""
    fragment = model.fragment(dataclasses.replace(RULE, **changes))
    assert expected == fragment.parts["rule"]


def test_filter_rules_match_the_golden_file() -> None:
    """What lets forwarded connections, DHCP, DNS and the web through UFW."""
    golden = pathlib.Path(__file__).parent / "golden" / "filter.rules"
    assert golden.read_text().splitlines() == model.shared_sections()["filter"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target_address", "", "without a target would lead to the lab host itself"),
        ("target_address", "10.64.1.10 -j ACCEPT", "is not an IPv4 address"),
        ("port", 0, "is not a port"),
        ("target_port", 65536, "is not a port"),
        ("comment", "a b", "is not a comment"),
        ("comment", "x\n*nat", "is not a comment"),
        ("protocol", "icmp", "tcp or udp"),
        ("interface", "eth0 -j ACCEPT", "is not the name of an interface"),
        ("address", "::1", "is not an IPv4 address"),
    ],
)
def test_rule_refuses_iptables_syntax(field: str, value: object, words: str) -> None:
    """Nothing of iptables' syntax gets into a rule."""
    (mistake,) = dataclasses.replace(RULE, **{field: value}).mistakes()
    assert field == mistake.key
    assert words in mistake.reason


OURS, USERS = "-j GRAPPE-INPUT", "-j ufw-user-input"
PING = "-p icmp -m icmp --icmp-type 8 -j ACCEPT"
KNOWN = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@pytest.mark.parametrize(
    ("order", "valid"),
    [((OURS, USERS), True), ((USERS, OURS), False), ((OURS,), True), ((USERS,), False),
     ((PING, OURS), False), (("-i lo -j ACCEPT", KNOWN, OURS, PING), True)],
)  # fmt: skip
def test_isolation_comes_before_any_accept(order: tuple[str, ...], valid: bool) -> None:
    """Behind an accept the jump comes too late, also for a ping."""
    lines = [f"-A ufw-before-input {rest}" for rest in order]
    loaded = iptables.Chains("\n".join(["*filter", *lines]))
    assert valid is loaded.has_jump("filter", "ufw-before-input", "GRAPPE-INPUT")


def test_accepts_come_after_the_users_denials() -> None:
    """So `ufw deny` and `ufw route deny` hold; what drops stands before them."""
    assert {"GRAPPE-INPUT": "ufw-before-input", "GRAPPE-FORWARD": "ufw-before-forward",
            "GRAPPE-LET-IN": "ufw-after-input",
            "GRAPPE-LET-THROUGH": "ufw-after-forward"} == iptables.JUMPS  # fmt: skip
    for line in model.shared_sections()["filter"]:
        assert line.endswith("-j ACCEPT") is line.startswith("-A GRAPPE-LET")


def test_host_refuses_a_rule_without_a_target(tmp_path: pathlib.Path) -> None:
    """Its port would lead to the lab host itself."""
    fragment = model.fragment(RULE).as_json()
    fragment["parts"]["target"] = ":22"
    with pytest.raises(system.RefusedError, match="has no target"):
        nat.NatTarget(system.System(str(tmp_path)), model.shared_sections()).check(
            [fragment], fragment["id"], None
        )


class Recorder:
    """A system of which only the folder is read; it has no default route."""

    def __init__(self, root: object = "/none") -> None:
        self.root = str(root)

    def run(self, _argv: list[str]) -> system.Result:
        return system.Result(0, "", "")


def compiled(*specs: model.RuleSpec, root: object = "/none") -> nat.Files:
    made = nat.NatTarget(Recorder(root), model.shared_sections())  # type: ignore[arg-type]
    none = dict.fromkeys(made.paths(), system.File(None))
    current = {**none, nat.RULES: system.File("*filter\nCOMMIT\n", 0o640)}
    return made.compile([model.fragment(spec).as_json() for spec in specs], current)


def test_only_our_own_connections_are_accepted() -> None:
    """A rule's connections to its server and port, each bridge to itself; nothing else's."""
    spec = dataclasses.replace(RULE, bridge="gr-1")
    part = managed_block.split(compiled(spec)[nat.RULES].content or "").body or ""
    assert [
        "-A GRAPPE-LET-THROUGH -i gr-+ ! -o gr-+ -j ACCEPT",
        "-A GRAPPE-LET-THROUGH -i gr-1 -o gr-1 -j ACCEPT",
        "-A GRAPPE-LET-THROUGH -d 10.64.1.10/32 ! -i gr-+ -p tcp -m conntrack --ctstate DNAT "
        "-m tcp --dport 22 -j ACCEPT",
    ] == [line for line in part.splitlines() if line.startswith("-A GRAPPE-LET-THROUGH")]


def test_accept_of_outgoing_packets_excludes_private_bridges(tmp_path: pathlib.Path) -> None:
    """Bridges without a physical port, as of LXD, Docker and libvirt; not an uplink."""
    net = tmp_path / "sys/class/net"
    for bridge, port in {
        "docker0": "veth1",
        "br0": "eth0",
        "br1": "eth0.10",
        "gr-1": "veth2",
        "lxdbr0": "",
    }.items():
        (net / bridge / "bridge").mkdir(parents=True)
        (net / bridge / "brif" / port).mkdir(parents=True)
    (net / "eth0" / "device").mkdir(parents=True)
    (net / "eth0.10" / "lower_eth0").mkdir(parents=True)
    (net / "veth1").mkdir()
    files = compiled(RULE, root=tmp_path)
    part = managed_block.split(files[nat.RULES].content or "").body or ""
    lines = [line for line in part.splitlines() if line.startswith("-A GRAPPE-LET-THROUGH")]
    assert [
        "-A GRAPPE-LET-THROUGH -i gr-+ -o docker0 -j RETURN",
        "-A GRAPPE-LET-THROUGH -i gr-+ -o lxdbr0 -j RETURN",
        "-A GRAPPE-LET-THROUGH -i gr-+ ! -o gr-+ -j ACCEPT",
    ] == lines[:3]
    for name in ("br-0123456789ab", "br-ba9876543210"):
        for folder in ("bridge", "brif"):
            (net / name / folder).mkdir(parents=True)
    there = Recorder(tmp_path)
    assert ["br-+", "docker0", "lxdbr0"] == private_networks.bridges(there)  # type: ignore[arg-type]
    (net / "br-lan").mkdir()
    assert "br-+" not in private_networks.bridges(there)  # type: ignore[arg-type]
    # Rules that do not accept come first: a step cannot add one.
    assert "" == nat._step(compiled(RULE), files)


def test_after_init_matches_the_golden_file() -> None:
    """At a start of UFW it restores rules and jumps that others have flushed."""
    golden = pathlib.Path(__file__).parent / "golden" / "after.init"
    assert golden.read_text() == compiled(RULE)[ufw_scripts.AFTER].content


def test_lxds_own_firewall_is_off() -> None:
    """It would come before UFW and let one student's servers reach another's."""
    spec = network.NetworkSpec(host="ssh://lab", owner="o", name="gr-1", address="10.64.1.1/24")
    assert {"ipv4.address": "10.64.1.1/24", "ipv4.firewall": "false", "ipv4.nat": "true",
            "ipv6.address": "none"} == network.settings(spec)  # fmt: skip
