"""Foreign firewall rules and routes on a lab host that doctor and preview report."""

from __future__ import annotations

from typing import Any

import pytest

from checks import conflicts, dropping_rules, isolation, profiles, routing, ufw_denials
from remote import iptables
from remote.surveys import lab, listening, programs, routes
from remote.unmanaged import legacy, nft

BEFORE = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:f2b-web - [0:0]\n"
AFTER = "-A INPUT -j ufw-before-input\n-A FORWARD -j ufw-before-forward\n"


# What Docker puts before UFW's rules.
DOCKER = (
    "-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j "
    "ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n"
)


def loaded(listing: str) -> dict[str, Any]:
    """Return the facts of a listing of `iptables-save`."""
    return {"before_ufw": list(iptables.Chains(listing).before_ufw())}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("-A INPUT -p tcp -m tcp --dport 443 -j DROP\n", 1),
        ("-A INPUT -p tcp -m multiport --dports 25,80:90 -j REJECT\n", 1),
        ("-A INPUT -p tcp -m tcp --dport 25 -j DROP\n-A INPUT -p udp -m udp --dport 80 -j DROP\n", 0),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP\n", 0),
        ("-A INPUT -p tcp -m multiport --dports 80,443 -j f2b-web\n-A f2b-web -s 192.0.2.1/32 -j REJECT\n", 1),
        ("-A INPUT -p tcp -m tcp --dport 25 -j f2b-web\n-A f2b-web -s 192.0.2.1/32 -j REJECT\n", 0),
        ("-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -p tcp -m tcp --dport 22 -j DROP\n", 1),
        ("-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -o docker0 -j DROP\n", 0),
        ("-A FORWARD -i docker0 -j DROP\n", 0),
        # ufw-docker's: what begins a connection is all of it.
        ("-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -d 10.0.0.0/8 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j f2b-web\n-A f2b-web -j DROP\n", 1),
        ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP\n", 0),
        ("-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP\n", 0),
    ],
)  # fmt: skip
def test_a_drop_before_ufw_is_found(rules: str, found: int) -> None:
    """One about pages or servers; not one about other ports, protocols or bridges."""
    before, after = BEFORE + rules + AFTER, BEFORE + AFTER + rules
    assert found == len(list(dropping_rules.drops(loaded(before), [22222])))
    assert [] == list(dropping_rules.drops(loaded(after), [22222]))


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("-A ufw-before-input -p tcp -m tcp --dport 80 -j DROP\n", 1),
        ("-A ufw-before-input -s 192.0.2.0/24 -j REJECT --reject-with icmp-port-unreachable\n", 1),
        ("-A ufw-before-forward -p tcp -m tcp --dport 22 -j f2b-web\n-A f2b-web -j DROP\n", 1),
        ("-A ufw-before-input -p tcp -m tcp --dport 80 -j ACCEPT\n", 0),
        ("-A ufw-before-input -p tcp -m tcp --dport 25 -j DROP\n", 0),
        # UFW's own.
        ("-A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n", 0),
        ("-A ufw-before-input -j ufw-not-local\n-A ufw-not-local -j DROP\n", 0),
        ("-A ufw-before-input -j GRAPPE-INPUT\n-A GRAPPE-INPUT -i gr-+ -j DROP\n", 0),
    ],
)  # fmt: skip
def test_a_drop_by_hand_in_ufws_own_chains_is_found(rules: str, found: int) -> None:
    """If it is before the user's rules; rules behind those are reported as denials."""
    users = "-A ufw-before-input -j ufw-user-input\n-A ufw-before-forward -j ufw-user-forward\n"
    assert found == len(list(dropping_rules.drops(loaded(BEFORE + AFTER + rules + users), [22222])))
    assert [] == list(dropping_rules.drops(loaded(BEFORE + AFTER + users + rules), [22222]))


@pytest.mark.parametrize(
    ("table", "rule", "found"),
    [
        ("raw", "-A PREROUTING -p tcp -m tcp --dport 22222 -j CT --notrack", True),
        ("raw", "-A PREROUTING -p tcp -m multiport --dports 80,443 -j NOTRACK", True),
        ("raw", "-A PREROUTING -p udp -m udp --dport 53 -j NOTRACK", False),
        ("raw", "-A PREROUTING -p tcp -m tcp --dport 22223 -j DROP", False),
        ("raw", "-A OUTPUT -o lo -p tcp -m tcp --dport 80 -j NOTRACK", False),
        ("raw", "-A PREROUTING -m rpfilter --invert -j DROP", False),
        ("raw", "-A PREROUTING -d 172.17.0.2/32 ! -i br-1 -j DROP", False),
        ("raw", "-A PREROUTING -d 192.168.8.10/32 -j DROP", True),
        ("raw", "-A PREROUTING -s 100.64.0.0/10 ! -i tailscale0 -j DROP", False),
        ("mangle", "-A PREROUTING -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", False),
        (
            "mangle",
            "-A INPUT -p tcp -m tcp --dport 443 -m connlimit --connlimit-above 80 -j DROP",
            False,
        ),
        ("mangle", "-A PREROUTING -s 192.0.2.0/24 -j DROP", True),
        ("mangle", "-A FORWARD -p tcp -m tcp --dport 22 -j DROP", True),
        ("mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS", False),
        ("mangle", "-A INPUT -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x1", False),
        ("raw", "-A PREROUTING ! -i lo -d 127.0.0.0/8 -j DROP", False),
        ("raw", "-A PREROUTING -d 10.0.0.1/255.0.0.255 -j DROP", True),
        ("raw", '-A PREROUTING -p udp -m comment --comment "drop -d ours -p tcp" -j DROP', False),
        (
            "raw",
            '-A PREROUTING -p tcp -m tcp --dport 443 -m comment --comment "it\'s -d" -j DROP',
            True,
        ),
        ("raw", "-A PREROUTING -m pkttype --pkt-type multicast -j DROP", False),
        ("raw", "-A PREROUTING -m addrtype --dst-type BROADCAST -j DROP", False),
        ("raw", "-A PREROUTING -m addrtype ! --dst-type LOCAL -j DROP", False),
        ("raw", "-A PREROUTING -m addrtype --dst-type LOCAL -j DROP", True),
        ("raw", "-A PREROUTING ! -p tcp -j DROP", False),
        ("raw", "-A PREROUTING ! -p udp -j DROP", True),
        ("raw", "-A PREROUTING -p tcp -m tcp --sport 0 -j DROP", False),
        ("raw", "-A PREROUTING -p tcp -m tcp --sport 1024:65535 -j DROP", True),
        ("raw", "-A PREROUTING -p tcp -m multiport ! --dports 80,443,22222 -j DROP", False),
        ("raw", "-A PREROUTING -p tcp -m multiport ! --dports 22,80,443 -j DROP", True),
        ("raw", "-A PREROUTING -p tcp -m multiport --ports 137:139,445 -j DROP", False),
        ("raw", "-A PREROUTING ! -d 192.168.8.10/32 -p tcp -j DROP", False),
        ("raw", "-A PREROUTING ! -i docker0 -p tcp -m tcp --dport 443 -j DROP", True),
        ("mangle", "-A FORWARD -m conntrack --ctorigdstport 8080 -j DROP", False),
        ("mangle", "-A POSTROUTING -d 10.0.0.0/8 ! -o wg0 -j DROP", True),
        ("mangle", "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j DROP", False),
        ("mangle", "-A OUTPUT -d 192.168.8.10/32 -j DROP", False),
        ("mangle", "-A OUTPUT -d 10.0.0.0/8 -p tcp -m tcp --dport 443 -j DROP", True),
        ("mangle", "-A OUTPUT -p tcp -m tcp --dport 25 -j DROP", False),
        ("mangle", "-A OUTPUT -m owner --uid-owner 33 -j DROP", False),
        ("mangle", "-A FORWARD ! -o gr-+ -j DROP", False),
        ("mangle", "-A FORWARD ! -d 10.64.0.0/10 -j DROP", False),
    ],
)
def test_a_drop_in_another_table_is_found(table: str, rule: str, found: bool) -> None:
    """In raw or mangle; untracked packets get no DNAT either."""
    subnets = [{"subnet": "192.168.8.10/24", "interface": "eth0"}]
    facts = {"subnets": subnets, **loaded(f"*{table}\n{rule}\nCOMMIT\n{BEFORE}{AFTER}")}
    assert [(table, rule)] * found == list(dropping_rules.drops(facts, [22222]))


@pytest.mark.parametrize(
    "match",
    [
        "-m connlimit --connlimit-above 1 --connlimit-mask 32 --connlimit-saddr",
        "-m hashlimit --hashlimit-above 1/min --hashlimit-name a",
        "-m recent --update --seconds 60 --hitcount 2 --name DEFAULT --rsource",
        '-m string --string "yuno1" --algo bm',
        "-m length --length 60",
    ],
)
def test_partial_drop_is_found_only_on_request(match: str) -> None:
    """Rate limits and string matches are normal hardening as long as every server answers."""
    rule = f"-A INPUT -p tcp -m tcp --dport 443 {match} -j DROP"
    facts = loaded(f"*filter\n{rule}\n{BEFORE}{AFTER}")
    assert [] == list(dropping_rules.drops(facts, [22222]))
    assert [("filter", rule)] == list(dropping_rules.drops(facts, [22222], whole=False))
    broken = loaded(f"*filter\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n{BEFORE}{AFTER}")
    assert [] == list(dropping_rules.drops(broken, [22222], whole=False))


LEGACY = """# Generated by iptables-save v1.8.9 on Fri
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 22222 -j DNAT --to-destination 172.17.0.2:22
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD {policy} [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
{rules}COMMIT
"""


@pytest.mark.parametrize(
    ("policy", "rules", "missing"),
    [
        ("ACCEPT", "", []),
        ("ACCEPT", "-A FORWARD -p tcp -m tcp --dport 25 -j DROP\n", []),
        ("DROP", "-A FORWARD -o docker0 -j DOCKER\n", ["-i gr-+", "-o gr-+"]),
        ("ACCEPT", "-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n", ["-i gr-+", "-o gr-+"]),
        ("DROP", "-A FORWARD -i gr-+ -j ACCEPT\n", ["-o gr-+"]),
        ("ACCEPT", "-A FORWARD -p tcp -m tcp ! --dport 22 -j DROP\n", ["-i gr-+", "-o gr-+"]),
        ("ACCEPT", "-A FORWARD ! -i gr-+ -p udp -j DROP\n", []),
        ("DROP", "-A FORWARD -i lo -j ACCEPT\n-A FORWARD -d 224.0.0.0/4 -j ACCEPT\n", ["-i gr-+", "-o gr-+"]),
        ("DROP", "-A FORWARD -j LABS\n-A LABS -i gr-+ -j ACCEPT\n", ["-o gr-+"]),
        ("ACCEPT", "-A FORWARD -j LABS\n-A LABS -j DROP\n", ["-i gr-+", "-o gr-+"]),
        # The answers to what servers ask of others are neither.
        ("DROP", "-A FORWARD -i gr-+ -j ACCEPT\n-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n", ["-o gr-+"]),
        ("DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n-A FORWARD -i gr-+ -j ACCEPT\n", []),
    ],
)  # fmt: skip
def test_tables_of_iptables_legacy_count_too(policy: str, rules: str, missing: list[str]) -> None:
    """The kernel consults both; the remedy is a command of iptables-legacy."""
    saved = LEGACY.format(policy=policy, rules=rules)
    facts = {"filters": [chain._asdict() for chain in legacy.chains(saved)]}
    commands = [do for _problem, do in conflicts.closed_chains(facts)]
    wanted = "; ".join(f"iptables-legacy -I FORWARD {options} -j ACCEPT" for options in missing)
    assert [wanted] * bool(missing) == [do.rpartition("; or ")[0] for do in commands]


def test_a_nat_rule_of_iptables_legacy_takes_its_port() -> None:
    """It is named with its program, for `iptables` does not show it."""
    facts = {"nat": legacy.nat_rules(LEGACY.format(policy="ACCEPT", rules="")), "subnets": []}
    ((ports, line),) = conflicts.redirects(facts, [22222, 80])
    assert [22222] == ports
    assert line.startswith("iptables-legacy -A DOCKER ! -i docker0")


@pytest.mark.parametrize(
    ("rule", "consulted"),
    [
        ("32765:\tfrom 192.168.9.9 lookup 200", False),
        ("32765:\tfrom all fwmark 0x1 lookup 200", False),
        ("32765:\tnot from all fwmark 0xca6c lookup 200", True),
        ("32765:\tfrom all to 10.0.0.0/8 lookup 200", True),
        ("32765:\tfrom 192.168.8.0/24 lookup 200", True),
        ("32765:\tfrom all lookup 200 uidrange 0-0", False),
        ("5:\tfrom all iif eth0 lookup 300", True),
        ("40000:\tfrom all lookup 300", False),
        ("5:\tfrom all lookup 300 suppress_prefixlength 0", False),
        ("5:\tfrom all lookup main suppress_prefixlength 0\n6:\tfrom all lookup 300", False),
        ("5:\tfrom all to 10.64.0.0/12 lookup main\n6:\tfrom all lookup 200", False),
        ("5:\tfrom all to 10.65.0.0/16 lookup main\n6:\tfrom all lookup 200", True),
        ("5:\tfrom all lookup 400", False),
        ("5:\tfrom all oif wg0 lookup 200", False),
        ("5:\tfrom all iif docker0 lookup 300", False),
        ("5:\tfrom all ipproto udp lookup 200", False),
        ("5:\tfrom all ipproto tcp dport 25 lookup 200", False),
        ("5:\tfrom all ipproto tcp dport 20-25 lookup 200", True),
        ("", False),
    ],
)
def test_a_table_counts_where_a_labs_packets_consult_it(
    rule: str, consulted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that is for marked packets, for one user or for one address, or after the main one.

    The tables: 200 a network, 300 a default route, 400 one with a throw, as Tailscale has them.
    """
    rules = ["0:\tfrom all lookup local", "32766:\tfrom all lookup main", *rule.splitlines()]
    listed = {
        "rule": "\n".join(sorted(rules, key=lambda line: int(line.partition(":")[0]))),
        "route": "default via 192.168.8.1 dev eth0\n10.0.0.0/8 via 192.168.8.2 dev eth0 table 200\n"
        "default dev wg0 table 300\ndefault dev wg0 table 400\nthrow 10.64.8.0/24 table 400\n",
    }
    monkeypatch.setattr(programs, "run", lambda argv: (0, listed[argv[2]], ""))
    found = {"routes": routes.main()}
    assert consulted == bool(list(routing.covering(found, "10.64.8.0/24", "gr-8")))


def test_a_route_with_several_ways_is_one_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ip route` prints a line for each way, below the route's own."""
    listed = {
        "rule": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
        "route": "default proto static\n\tnexthop via 192.168.8.1 dev eth0 weight 1\n"
        "\tnexthop via 192.168.8.2 dev eth0 weight 1\n10.64.8.0/24 proto bird\n"
        "\tnexthop via 192.168.8.3 dev eth0 weight 1\n\tnexthop dev wg0 weight 1\n",
    }
    monkeypatch.setattr(programs, "run", lambda argv: (0, listed[argv[2]], ""))
    found = {"routes": routes.main()}
    ways = [route["line"] for route in found["routes"] if route["table"] == ""]
    assert ["default proto static", "10.64.8.0/24 proto bird"] == ways
    assert ["10.64.8.0/24 proto bird"] == list(routing.covering(found, "10.64.8.0/24", "gr-8"))


def test_route_of_the_main_table_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind the kernel's own three rules."""
    rules = (
        "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default"
    )
    listed = {"rule": rules, "route": "10.64.8.0/24 via 192.168.8.2 dev eth0\n"}
    monkeypatch.setattr(programs, "run", lambda argv: (0, listed[argv[2]], ""))
    found = {"routes": routes.main()}
    assert ["10.64.8.0/24 via 192.168.8.2 dev eth0"] == list(
        routing.covering(found, "10.64.8.0/24", "gr-8")
    )


def test_prohibit_rule_is_reported_with_its_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a route elsewhere, with the `ip rule del` command."""
    listed = {"rule": "100:\tfrom all to 10.64.8.0/24 prohibit\n", "route": ""}
    monkeypatch.setattr(programs, "run", lambda argv: (0, listed[argv[2]], ""))
    (line,) = routing.covering({"routes": routes.main()}, "10.64.8.0/24", "gr-8")
    assert "ip rule add to 10.64.0.0/12 lookup main" in routing.removal_command("default table 2")
    assert "ip rule del from all to 10.64.8.0/24 prohibit" == routing.removal_command(line)
    assert [] == list(routing.covering({"routes": routes.main()}, "10.64.9.0/24", "gr-9"))


@pytest.mark.parametrize(
    ("rules", "reached"),
    [
        ("-A FORWARD -j ACCEPT\n", ["each other"]),
        ("-A FORWARD -i gr-+ -j ACCEPT\n-A INPUT -i g+ -j ACCEPT\n", ["the host", "each other"]),
        ("-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i gr-7 -j ACCEPT\n", ["each other"]),
        ("-A FORWARD -o docker0 -j DOCKER-USER\n-A DOCKER-USER -j ACCEPT\n", ["the machines on docker0"]),
        ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", ["the host"]),
        ("-A INPUT -p udp -m multiport --dports 53,67 -j ACCEPT\n", []),
        ("-A INPUT -p icmp -j ACCEPT\n", ["the host"]),
        ("-A INPUT -s 10.0.0.0/8 -j ACCEPT\n", ["the host"]),
        ("-A INPUT -s 192.168.8.0/24 -j ACCEPT\n", []),
        ("-A INPUT ! -s 192.168.8.0/24 -j ACCEPT\n", ["the host"]),
        ("-A INPUT -i lo -j ACCEPT\n-A INPUT -i eth0 -j ACCEPT\n-A INPUT ! -i gr-+ -j ACCEPT\n", []),
        ("-A INPUT ! -i eth0 -j ACCEPT\n", ["the host"]),
        ("-A INPUT -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n", []),
        ("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", []),
        ("-A FORWARD -m state --state NEW,RELATED -j ACCEPT\n", ["each other"]),
        ("-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT\n", []),
        ("-A FORWARD -m mark --mark 0x40000/0xff0000 -j ACCEPT\n", []),
        ("-A FORWARD -i gr-+ ! -o gr-+ -j ACCEPT\n", []),
        ("-A FORWARD -d 10.64.0.0/12 -j ACCEPT\n", ["each other"]),
        (f"{DOCKER}-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n"
         "-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 81 -j ACCEPT\n",
         ["the machines on docker0"]),
        ("-A FORWARD -o br-0123456789ab -j ACCEPT\n-A FORWARD -o br-lan -j ACCEPT\n",
         ["the machines on br-0123456789ab"]),
        (f"{DOCKER}-A DOCKER-USER -i gr-+ -o docker0 -j DROP\n-A DOCKER ! -i docker0 -o docker0 -j ACCEPT\n", []),
        (f"{DOCKER}-A DOCKER-USER -i gr-+ -p udp -j DROP\n-A DOCKER ! -i docker0 -o docker0 -j ACCEPT\n",
         ["the machines on docker0"]),
        ("-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n", []),
        ("-A FORWARD -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", []),
        ("-A FORWARD -i virbr0 -j ACCEPT\n-A FORWARD -o virbr0 -j ACCEPT\n", ["the machines on virbr0"]),
        ("-A FORWARD -j DROP\n-A INPUT -j LOG\n-A INPUT -j RETURN\n", []),
        ("-A INPUT -s 10.0.0.1/255.0.0.255 -j ACCEPT\n", ["the host"]),
        ('-A INPUT -i eth0 -m comment --comment "not -i gr-+ -s x" -j ACCEPT\n', []),
        ("-A INPUT -m addrtype --dst-type LOCAL -j ACCEPT\n", ["the host"]),
        ("-A INPUT -m addrtype --dst-type BROADCAST,MULTICAST -j ACCEPT\n", []),
        ("-A FORWARD -m addrtype --src-type LOCAL -j ACCEPT\n", []),
        ("-A OUTPUT -j ACCEPT\n", []),
        ("-A FORWARD -j NFQUEUE --queue-num 0 --queue-bypass\n", ["each other"]),
        ("-A INPUT -i eth0 -j NFQUEUE --queue-num 0\n", []),
        ("-A INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT\n", ["the host"]),
        ("-A INPUT -m conntrack ! --ctstate NEW -j ACCEPT\n", []),
    ],
)  # fmt: skip
def test_an_accept_before_ufw_voids_the_isolation(rules: str, reached: list[str]) -> None:
    """It lets servers' new packets reach the host or a bridge; behind UFW's rules it does not."""
    found = isolation.breaches(loaded(f"{BEFORE}{rules}{AFTER}"))
    assert reached == [breach.whom for breach in found]
    assert [] == list(isolation.breaches(loaded(f"{BEFORE}{AFTER}{rules}")))


def test_risky_settings_of_profiles_are_reported() -> None:
    """Privileged servers, raw.lxc and writable folders; not root disks and read-only ones."""
    folder = {"type": "disk", "source": "/srv/share", "path": "/srv"}
    brings = {"default": {"root": {"type": "disk", "path": "/", "pool": "p"}, "data": folder,
                          "docs": {**folder, "readonly": "true"}}}  # fmt: skip
    sets = {"default": {"security.privileged": "true", "raw.lxc": "lxc.a = 1\nlxc.b = 2"}, "x": {}}
    said = [
        what for _name, what in profiles.shared({"brings": brings, "sets": sets}, ["default", "x"])
    ]
    assert [
        "makes servers privileged: root in one is root on the host",
        "sets raw.lxc, which nobody checks: lxc.a = 1 lxc.b = 2",
        "gives all servers /srv/share to write to, by its device data",
    ] == said
    assert [] == list(profiles.shared({}, ["default"]))


def test_port_held_by_docker_has_dockers_remedy() -> None:
    """Docker would write a removed rule again."""
    said = conflicts.publisher("docker-proxy", [22722])
    assert "docker ps --filter publish=22722; docker stop NAME" == said
    assert "" == conflicts.publisher("nginx", [80])


def test_chains_of_ufw_that_nothing_leads_to_are_found() -> None:
    """As `iptables -F FORWARD` leaves them: UFW itself never leads to them again."""
    whole = "*filter\n-A ufw-before-forward -j ACCEPT\n-A INPUT -j ufw-before-input\n-A INPUT -j ufw-after-input\n"
    lost = ["ufw-before-forward", "ufw-after-forward"]
    assert lost == iptables.Chains(whole).unled()
    # A UFW that is off has none to lead to.
    assert [] == iptables.Chains("*filter\n:ufw-before-forward - [0:0]\n").unled()
    ((_problem, do),) = conflicts.obstacles({"unled": lost, "files": {}})  # type: ignore[typeddict-item]
    assert "iptables -A FORWARD -j ufw-$c-forward; done" in do


def test_a_rule_behind_a_jump_is_shown_as_it_can_be_removed() -> None:
    """Its own line, and not one with the conditions of the jumps."""
    rules = "-A FORWARD -i gr-+ -j A\n-A A -p tcp -j B\n-A B -j ACCEPT\n"
    (rule,) = iptables.Chains(f"*filter\n{rules}{AFTER}").before_ufw()
    assert {
        "table": "filter",
        "line": "-A B -j ACCEPT",
        "whole": "-A FORWARD -i gr-+ -p tcp -j ACCEPT",
    } == rule


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 out", ["HAProxy does not reach 80"]),
        ("reject any any 10.64.0.0/12 any 0.0.0.0/0 out", ["HAProxy does not reach 80 and 443", "no address by DHCP"]),
        ("deny udp 68 0.0.0.0/0 any 0.0.0.0/0 out_gr-7", ["no address by DHCP"]),
        ("deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 out_eth0", []),
        ("deny tcp 80 192.0.2.0/24 any 0.0.0.0/0 out", []),
        ("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 out", []),
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0", ["keeps people out of 443"]),
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 - Apache in comment=61", ["keeps people out of 443"]),
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 - Apache", ["keeps people out of 443"]),
        ("deny tcp any 0.0.0.0/0 1000 0.0.0.0/0 in", []),
        ("deny tcp 443", []),
        ("", []),
    ],
)  # fmt: skip
def test_a_denial_of_ufw_is_read_as_ufw_reads_it(rule: str, said: list[str]) -> None:
    """Outwards too; with six to nine fields; a malformed one is skipped, as UFW skips it."""
    found = list(ufw_denials.effective({"ufw_rules": [f"### tuple ### {rule}"]}, {}))
    assert len(said) == len(found)
    assert all(words in line for words, line in zip(said, found, strict=True))
    assert [] == list(
        ufw_denials.ineffective(
            {"ufw_rules": [f"### tuple ### {rule}"]}, {22222: ("10.64.7.2", 22)}
        )
    )


@pytest.mark.parametrize(
    ("rule", "is_void"),
    [
        ("deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 in", True),
        # In UFW's chains of forwarding the packet goes to the server's own port.
        ("route:deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("route:deny tcp 22220:22230 192.168.8.10 any 192.168.8.20 in", True),
        ("route:reject tcp 22222 10.64.7.2 any 0.0.0.0/0 in", True),
        ("route:deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("route:deny tcp 22,22222 10.64.7.2 any 0.0.0.0/0 in", False),
        ("route:deny any any 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("route:deny tcp 22222 192.168.50.0/24 any 0.0.0.0/0 in", False),
        ("route:deny tcp 9999 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("route:deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 out_docker0", False),
        ("route:deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_wg0", False),
        ("route:deny tcp 22222 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_gr-7", True),
    ],
)
def test_a_denial_of_a_port_that_dnat_forwards_is_void(rule: str, is_void: bool) -> None:
    """Also in UFW's form for what it forwards; a rule for another network is no concern of ours."""
    facts: Any = {"ufw_rules": [f"### tuple ### {rule}"]}
    found = list(ufw_denials.ineffective(facts, {22222: ("10.64.7.2", 22)}))
    assert is_void == bool(found)
    assert all("to 10.64.7.2 port 22" in line for line in found)


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        ("-A PREROUTING -p tcp -s 192.168.8.0/24 -j ACCEPT", True),
        ("-A PREROUTING -j RETURN", True),
        ("-A PREROUTING ! -i docker0 -j ACCEPT", True),
        ("-A PREROUTING -p udp -m udp --dport 53 -j ACCEPT", False),
        ("-A PREROUTING -i docker0 -j RETURN", False),
        ("-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER", False),
    ],
)
def test_a_rule_that_ends_nat_before_our_jump_is_found(rule: str, ends: bool) -> None:
    """By preview and doctor; the transaction sees its jump as missing there, and moves it."""
    jump = f"-A PREROUTING -j {iptables.NAT}"
    assert [rule] * ends == list(dropping_rules.nat_ends({"nat": [rule, jump]}))
    assert [] == list(dropping_rules.nat_ends({"nat": [jump, rule]}))
    chains = iptables.Chains(f"*nat\n{rule}\n{jump}\n")
    assert ends is not chains.has_jump("nat", "PREROUTING", iptables.NAT)
    assert iptables.Chains(f"*nat\n{jump}\n{rule}\n").has_jump("nat", "PREROUTING", iptables.NAT)


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ("tcp dport 80 dnat to 10.0.0.9:80", True),
        ("tcp dport 80 dnat ip to 10.0.0.9:80", True),
        ("tcp dport 80 redirect to :8080", True),
        ("dnat ip addr . port to tcp dport map { 80 : 10.0.0.9 . 8080 }", True),
        ("tcp dport 80 counter packets 0 bytes 0 redirect", True),
        ('tcp dport 80 redirect to :8080 comment "the web"', True),
        ("ct status dnat accept", False),
        ("icmpv6 type nd-redirect accept", False),
        ("icmpv6 type { nd-neighbor-solicit, nd-redirect } accept", False),
        ("icmp type redirect drop", False),
        ("icmp type { redirect, echo-request } drop", False),
        ('tcp dport 80 accept comment "redirect to nobody"', False),
        ('log prefix "dnat to x"', False),
        ("meta mark 0x1 return", False),
    ],
)
def test_a_condition_on_dnat_is_no_redirect(
    monkeypatch: pytest.MonkeyPatch, rule: str, counts: bool
) -> None:
    """Firewalld accepts what others have forwarded: that leads no port elsewhere."""
    base = "type nat hook prerouting priority -100; policy accept;"
    listed = f"table inet firewalld {{\n\tchain nat_PRE {{\n\t\t{base}\n\t\t{rule}\n\t}}\n}}\n"
    monkeypatch.setattr(programs, "run", lambda _argv: (0, listed, ""))
    chains = [nft.Chain("inet firewalld", "nat_PRE", "nat", "prerouting", "accept")]
    assert [f"nft inet firewalld nat_PRE: {rule}"] * counts == lab._nat(chains, "", set())


NATIVE = """table ip mine {
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 8006 jump web comment "the panel"
		jump GRAPPE-DNAT
	}
	chain web {
		dnat ip to 10.0.3.5:8006
	}
	chain unused {
		meta l4proto tcp dnat to 10.180.0.3:80
	}
	chain local {
		type nat hook output priority -100; policy accept;
		tcp dport 443 redirect to :8443
	}
	chain GRAPPE-DNAT {
		tcp dport 22222 dnat to 10.64.1.10:22
	}
}
"""


def test_native_nat_counts_where_a_packet_that_comes_in_meets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind the jump that leads to it; not that of the host's own packets."""
    monkeypatch.setattr(programs, "run", lambda _argv: (0, NATIVE, ""))
    chains = [nft.Chain("ip mine", "pre", "nat", "prerouting", "accept")]
    found = lab._nat(chains, "", set())
    assert ["nft ip mine pre: tcp dport 8006 dnat ip to 10.0.3.5:8006"] == found
    facts: Any = {"nat": found, "subnets": [{"interface": "eth0", "subnet": "192.168.8.10/24"}]}
    assert [([8006], found[0])] == list(conflicts.redirects(facts, [80, 443, 22292, 8006]))


SHUT = "-A PREROUTING -s 10.0.0.0/8 %s-j DROP"


@pytest.mark.parametrize(
    ("match", "shuts"),
    [("", True), ("-i eth0 ", False), ("! -i eth0 ", True), ("-i gr-1 ", True), ("! -i gr-+ ", False),
     ("-p udp ", False), ("-m comment --comment forged ", True)],
)  # fmt: skip
def test_drop_of_private_addresses_shuts_servers_in(match: str, shuts: bool) -> None:
    """As lists against floods have them: a server's DHCP, DNS and answers go too."""
    rule = SHUT % match
    found: Any = loaded(f"*mangle\n:PREROUTING ACCEPT [0:0]\n{rule}\n{BEFORE}{AFTER}")
    problems = list(dropping_rules.shut_servers(found))
    assert shuts is bool(problems)
    host: Any = {"files": {}, "fixed": {}, **found}
    assert problems == list(conflicts.obstacles(host))
    if match == "":
        remedy = "iptables -t mangle -I PREROUTING -i gr-+ -j ACCEPT"
        assert remedy in problems[0][1]
        mended = f"*mangle\n-A PREROUTING -i gr-+ -j ACCEPT\n{rule}\n{BEFORE}{AFTER}"
        assert [] == list(dropping_rules.shut_servers(loaded(mended)))  # type: ignore[arg-type]
    other = SHUT.replace("10.0.0.0/8", "192.168.0.0/16") % match
    assert [] == list(dropping_rules.shut_servers(loaded(f"*mangle\n{other}\n{BEFORE}{AFTER}")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-A FORWARD -p tcp -m conntrack --ctorigdstport 22222 -j DROP", 1),
        ("-A FORWARD -p tcp -m conntrack --ctorigdstport 22 --ctdir ORIGINAL -j DROP", 0),
        ("-A INPUT -m mark --mark 0x8000/0x8000 -j DROP", 0),
        ("-A INPUT -m mark ! --mark 0x8000/0x8000 -j DROP", 1),
        ("-A INPUT -m mark ! --mark 0x0 -j DROP", 0),
        ("-A INPUT -p tcp -m tcp --dport 9000 -m mark ! --mark 0x1 -j DROP", 0),
        ("-A INPUT -p udp -m mark ! --mark 0x1 -j DROP", 0),
        ("-A INPUT -i cali+ -j DROP", 0),
        ("-A INPUT -s 127.0.0.0/8 -i eth0 -j DROP", 0),
        ("-A INPUT -s 0.0.0.0/8 -j DROP", 0),
        ("-A INPUT -s 224.0.0.0/3 -j DROP", 0),
        ("-A INPUT -s 203.0.113.0/24 -j DROP", 1),
    ],
)
def test_drop_of_what_nobody_sends_is_none(rule: str, found: int) -> None:
    """And one by the port that people dialled is about that one, also behind DNAT."""
    facts: Any = loaded(f"{BEFORE}{rule}\n{AFTER}")
    assert found == len(list(dropping_rules.drops(facts, [22222])))


@pytest.mark.parametrize(
    ("policy", "covered"),
    [
        ("100:\tfrom all to 172.16.0.0/12 lookup 5", False),
        ("100:\tfrom all to 10.64.3.1/16 lookup 5", True),
        ("100:\tfrom all to 10.64.0.0/16 lookup 5", True),
        ("100:\tnot from all to 10.0.0.0/8 lookup 5", False),
        ("100:\tnot from all to 8.8.8.8 lookup 5", True),
        ("100:\tfrom 172.18.0.0/16 lookup 5", False),
        ("100:\tnot from 172.18.0.0/16 lookup 5", True),
        ("100:\tfrom 192.168.8.0/24 lookup 5", True),
        ("100:\tfrom all fwmark 0/0x1 lookup 5", True),
        ("100:\tnot from all fwmark 0/0x1 lookup 5", False),
        ("100:\tfrom all fwmark 0x1/0x1 lookup 5", False),
        ("100:\tfrom all sport 51820 lookup 5", False),
    ],
)
def test_policy_rule_counts_for_what_it_selects(
    policy: str, covered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By destination, by the network of a container, by no mark."""
    listed = {
        "rule": f"0:\tfrom all lookup local\n{policy}\n32766:\tfrom all lookup main\n",
        "route": "172.18.0.0/16 dev br-0a1b2c3d4e5f proto kernel\n192.168.8.0/24 dev eth0 proto kernel\n"
        "default dev wg0 table 5\n",
    }
    monkeypatch.setattr(programs, "run", lambda argv: (0, listed[argv[2]], ""))
    found: Any = {"routes": routes.main()}
    assert covered is bool(list(routing.covering(found, "10.64.1.0/24", "gr-1")))


def test_bind_on_each_address_takes_a_bridges_port_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens by address, and takes each new one; on some addresses alone it takes none."""
    shown = "2: eth0    inet 192.168.8.10/24 scope global eth0\n3: wg0    inet 10.8.0.1/24 scope global wg0"
    ss = "LISTEN 0 10 {}:53 0.0.0.0:* ino:{} sk:1"
    monkeypatch.setattr(listening, "_holders", lambda: {"7": [("named", 1)]})
    monkeypatch.setattr(listening, "_program_name", lambda name, _pid, _unit: name)
    both = ["192.168.8.10", "10.8.0.1"]
    every, named = (
        'options {\n\tlisten-on port 53 {\n\t\t"any";\n\t};\n};\n',
        "options {\n\tlisten-on {\n\t\t192.168.8.10/32;\n\t\t10.8.0.1/32;\n\t};\n};\n",
    )
    for addresses, told, taken in (
        (both, 'options {\n\tlisten-on-v6 {\n\t\t"none";\n\t};\n};\n', True), (both, every, True),
        (both, named, False), (["192.168.8.10"], every, False),
    ):  # fmt: skip
        lines = "\n".join(ss.format(address, 7) for address in ["127.0.0.1", *addresses])
        answers = {"ip": shown, "named-checkconf": told}
        monkeypatch.setattr(programs, "run", lambda argv, answers=answers, lines=lines: (
            0, answers.get(argv[0], lines), ""))  # fmt: skip
        found: Any = {"listening": listening.main(None)}  # type: ignore[arg-type]
        problems = list(conflicts._bridges_taken(found))
        assert taken is bool(problems)
        assert not taken or "listen-on { 127.0.0.1; ADDRESS; };" in problems[0][1]


def test_a_table_that_iptables_save_hides_is_read_chain_by_chain() -> None:
    """A native rule of nftables in it makes `iptables-save` print a comment in its place."""
    rules = {
        "INPUT": "-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n",
        "ufw-before-input": "-N ufw-before-input\n-A ufw-before-input -j GRAPPE-INPUT\n",
        "GRAPPE-INPUT": "-N GRAPPE-INPUT\n-A GRAPPE-INPUT -i gr-+ -j DROP\n",
    }
    asked: list[str] = []

    def run(argv: list[str]) -> str:
        if argv == ["iptables-save"]:
            return (
                "*nat\n-A PREROUTING -j GRAPPE-DNAT\nCOMMIT\n"
                "# Table `filter' is incompatible, use 'nft' tool.\n"
            )
        assert ["iptables", "-w", "-t", "filter", "-S"] == argv[:-1]
        asked.append(argv[-1])
        return rules.get(argv[-1], "")

    chains = iptables.Chains(iptables.listing(run))
    assert chains.has_jump("filter", "ufw-before-input", "GRAPPE-INPUT")
    assert ["-A GRAPPE-INPUT -i gr-+ -j DROP"] == chains.rules("filter", "GRAPPE-INPUT")
    assert ["-A PREROUTING -j GRAPPE-DNAT"] == chains.rules("nat", "PREROUTING")
    assert sorted({"INPUT", "FORWARD", "OUTPUT", *rules}) == sorted(asked)
