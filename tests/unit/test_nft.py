"""Foreign nftables tables beside UFW's: missing accepts, bans and redirected ports."""

from __future__ import annotations

import pytest

from checks import lab_packets
from remote.unmanaged import nat, nft

TABLE = """table inet mine {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		tcp dport 22 accept%s
	}

	chain forward {
		type filter hook forward priority filter; policy drop;%s
	}
}
"""
OPEN = TABLE.replace("policy drop", "policy accept")
PAGES, ENTERS, LEAVES = (
    "tcp dport { 80, 443 } accept",
    'iifname "gr-*" accept',
    'oifname "gr-*" accept',
)


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        (TABLE % ("", ""), [PAGES, ENTERS, ENTERS, LEAVES]),
        (TABLE % (f"\n\t\t{PAGES}\n\t\t{ENTERS}", f"\n\t\t{ENTERS}\n\t\t{LEAVES}"), []),
        (TABLE % ('\n\t\ttcp dport 22-8000 accept\n\t\tiifname "gr-7" accept',
                  '\n\t\tiifname { "gr-*" } accept\n\t\tct status dnat accept'), [LEAVES]),
        (TABLE.replace("policy drop", "policy accept") % ("", ""), []),
        (TABLE.replace("policy drop", "policy accept")
         % ("\n\t\tcounter packets 1 bytes 2 reject with icmpx admin-prohibited", ""), [PAGES, ENTERS]),
        (TABLE.replace("policy drop", "policy accept") % ("\n\t\ttcp dport 25 drop", ""), []),
        (OPEN % ('\n\t\tiifname "eth0" drop', ""), [PAGES]),
        (OPEN % ('\n\t\tiifname "eth9" drop', '\n\t\tiifname "docker0" drop'), []),
        (OPEN % ("\n\t\tct state new drop", '\n\t\tlog prefix "x drop" drop'),
         [PAGES, ENTERS, ENTERS, LEAVES]),
        (OPEN % ('\n\t\tiifname != "lo" counter packets 1 bytes 2 reject', ""), [PAGES, ENTERS]),
        (OPEN % ('\n\t\tlog prefix "new " limit rate 5/minute', "\n\t\tct state invalid log drop"), []),
        (OPEN % ("\n\t\ttcp dport != { 22, 80, 443 } drop", '\n\t\toifname != "gr-*" drop'), [ENTERS]),
        (TABLE % ('\n\t\tiifname { "eth0", "gr-*" } accept', '\n\t\tiifname "eth0" accept'
                  '\n\t\tct state established,related accept\n\t\tiifname "gr-*" accept'), []),
        (TABLE % ('\n\t\tiifname vmap { "eth0" : jump wan, "gr-*" : accept }',
                  '\n\t\tiifname vmap { "eth0" : jump wan, "gr-*" : accept }'), []),
        (TABLE % (f'\n\t\t{PAGES}\n\t\tiifname "gr-*" jump {{\n\t\t\tudp dport {{ 53, 67 }} accept\n\t\t}}',
                  f"\n\t\t{ENTERS}\n\t\t{LEAVES}"), []),
        (TABLE % (f"\n\t\t{ENTERS}\n\t\ttcp dport 8080 jump {{\n\t\t\taccept\n\t\t}}",
                  f"\n\t\t{ENTERS}\n\t\t{LEAVES}"), [PAGES]),
        # The example of nftables' own documentation.
        (TABLE % ("\n\t\tct state vmap { established : accept, related : accept, invalid : drop }", ""),
         [PAGES, ENTERS, ENTERS, LEAVES]),
        (TABLE % ("\n\t\tip daddr 224.0.0.0/4 accept\n\t\tpkttype broadcast accept", ""),
         [PAGES, ENTERS, ENTERS, LEAVES]),
        (TABLE % ("\n\t\ttcp dport vmap { 22 : accept, 80 : accept, 443 : accept }\n\t\tudp dport { 53, 67 } accept",
                  f"\n\t\t{ENTERS}\n\t\t{LEAVES}"), []),
        (OPEN % ('\n\t\tiifname "gr-*" return\n\t\tiifname != "eth0" drop', ""), []),
        (TABLE % ("\n\t\tmeta l4proto { icmp, tcp, udp, ipv6-icmp } accept", f"\n\t\t{ENTERS}\n\t\t{LEAVES}"), []),
        (TABLE % ("\n\t\tip saddr 192.168.8.0/24 tcp dport { 80, 443 } accept\n\t\tudp dport { 53, 67 } accept",
                  f"\n\t\t{ENTERS}\n\t\tct state { '{' } established, related { '}' } accept\n\t\tct status dnat accept"), []),
    ],
)  # fmt: skip
def test_missing_accepts_of_a_foreign_table_are_found(listed: str, missing: list[str]) -> None:
    """For pages, bridges and forwarded packets; none if its policy accepts everything."""
    found = nft.chains(listed)
    assert [("input", "inet mine"), ("forward", "inet mine")] == [(c.hook, c.table) for c in found]
    assert missing == [
        rule for chain in found for rule in lab_packets.missing_accepts(chain, ["eth0"])
    ]


# The example of a home router in the wiki of nftables, and jumps as OpenWrt has them.
ROUTER = """table inet mine {
	chain world {
		%s accept
	}
	chain input {
		type filter hook input priority 0; policy drop;
		%s
	}
}
"""


@pytest.mark.parametrize(
    "jump",
    ['iifname vmap { "lo" : accept, "eth0" : jump world, "gr-*" : accept }',
     'iifname vmap { "eth0" : jump world, "eth1" : jump no-such-chain, "gr-*" : accept }',
     'iifname "gr-*" accept\n\t\tiifname "eth0" jump world comment "from the LAN"'],
)  # fmt: skip
def test_chain_behind_a_map_or_a_comment_is_followed(jump: str) -> None:
    (closed,) = nft.chains(ROUTER % ("tcp dport 22", jump))
    assert [PAGES] == list(lab_packets.missing_accepts(closed, ["eth0"]))
    (opened,) = nft.chains(ROUTER % ("tcp dport { 80, 443 }", jump))
    assert [] == list(lab_packets.missing_accepts(opened, ["eth0"]))


FIREWALLD = """table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		iifname "lo" accept
		jump filter_INPUT_ZONES
		ct state invalid drop
		reject with icmpx admin-prohibited
	}

	chain filter_INPUT_ZONES {
		iifname "gr-1" goto filter_IN_trusted
		goto filter_IN_public
	}

	chain filter_IN_trusted {
		accept
	}

	chain filter_IN_public {
		jump filter_IN_public_allow
		jump filter_IN_public
	}

	chain filter_IN_public_allow {
		tcp dport 22 accept
		tcp dport 80 accept%s
	}
}
"""


@pytest.mark.parametrize(
    ("more", "missing"),
    [("", [PAGES]), ("\n\t\ttcp dport 443 ct state { new, untracked } accept", [])],
)
def test_rules_behind_jumps_count(more: str, missing: list[str]) -> None:
    """As firewalld has them, each behind the condition of its jump; a loop of jumps ends."""
    (chain,) = nft.chains(FIREWALLD % more)
    assert 'iifname "gr-1" accept' in chain.rules
    assert missing == list(lab_packets.missing_accepts(chain))


def test_tables_of_ufw_and_lxd_are_not_foreign() -> None:
    """Nor are tables for NAT, or for IPv6 alone."""
    names = ("ip filter", "ip6 filter", "inet lxd", "ip6 theirs", "inet mine", "ip also")
    found = [nft.Chain(name, "c", "filter", "input", "accept") for name in names]
    found.append(nft.Chain("ip translate", "c", "nat", "prerouting", "accept"))
    assert ["inet mine", "ip also"] == nft.unknown_tables(found, nft.IPTABLES | nft.LXD)
    # Where UFW's iptables is the legacy one, those of the other are somebody else's.
    assert ["inet mine", "ip also", "ip filter"] == nft.unknown_tables(found, nft.LXD)


@pytest.mark.parametrize(
    ("hook", "rule", "bans"),
    [
        ("prerouting", "tcp dport 22222 drop", True),
        ("prerouting", "tcp dport 22223 drop", False),
        ("forward", "tcp dport 22222 drop", False),
        ("input", "tcp dport { 80, 443 } reject", True),
        ("input", "ip saddr 192.0.2.1 drop", True),
        ("input", "meta nfproto ipv6 fib saddr . mark . iif oif missing drop", False),
        ("input", "fib saddr . iif oif missing drop", False),
        ("input", 'iifname != "tailscale0" ip saddr 100.64.0.0/10 drop', False),
        ("input", "tcp dport 80 limit rate over 10/second drop", False),
        ("input", "tcp dport 80 accept", False),
        ("output", "tcp dport 80 drop", False),
        ("input", 'ip saddr 10.0.0.5 accept comment "never drop backups"', False),
        ("input", 'tcp dport 80 accept comment "do not drop"', False),
        ("input", 'tcp dport 80 drop comment "the old web"', True),
        ("input", "ip saddr 192.0.2.1 udp dport 53 drop", False),
        ("input", "ip saddr 192.0.2.1 icmp type echo-request drop", False),
        ("input", 'iifname "docker0" ip saddr 172.17.0.9 drop', False),
        ("input", 'iifname "br-lan" ip saddr 203.0.113.0/24 drop', True),
        # As fail2ban writes them.
        (
            "input",
            "tcp dport { 80, 443 } ip saddr @addr-set-web reject with icmp port-unreachable",
            True,
        ),
        ("input", "ip saddr @addr-set-web meta l4proto { tcp, udp } drop", True),
    ],
)
def test_a_ban_is_a_drop_of_ports_that_people_dial(hook: str, rule: str, bans: bool) -> None:
    """At the ports before DNAT or behind it, as the hook has them; not of IPv6 or of a flood."""
    chain = nft.Chain("inet mine", "c", "filter", hook, "accept", [rule])
    assert [rule] * bans == list(nft.bans(chain, [22222]))


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        ("meta l4proto { tcp, udp } th dport { 80, 22352 } redirect to :9", (80, 22352)),
        ("udp dport 80 redirect to :9", ()),
        (
            "dnat ip addr . port to tcp dport map { 8080 : 10.0.0.9 . 80, 8443 : 10.0.0.9 . 443 }",
            (8080, 8443),
        ),
        ("dnat to tcp dport map { 8000-8001 : 10.0.0.9 }", (8000, 8001)),
        ("meta l4proto udp th dport 80 redirect to :9", ()),
    ],
)
def test_ports_of_a_rule_for_tcp_and_udp_are_found(rule: str, ports: tuple[int, ...]) -> None:
    """A rule for UDP alone takes no port of a lab."""
    taken = nat.redirected_ports(f"nft inet mine pre: {rule}")
    assert list(ports) == [port for part in taken for port in part]


def test_named_sets_and_maps_of_ports_are_read() -> None:
    """As `nft list table` of nftables 1.0.6 prints them; a set of addresses names no port."""
    listed = """table inet mine {
\tset p {
\t\ttype inet_service
\t\tflags interval
\t\telements = { 8000-8100,
\t\t\t     22293 }
\t}

\tset q {
\t\ttypeof tcp dport
\t\telements = { 22294 }
\t}

\tmap m {
\t\ttype inet_service : ipv4_addr
\t\telements = { 22292 : 10.0.0.5 }
\t}

\tset banned {
\t\ttype ipv4_addr
\t\telements = { 10.0.0.9 }
\t}

\tchain pre {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\ttcp dport @p redirect to :80
\t\ttcp dport @q redirect to :81
\t\tdnat ip to tcp dport map @m
\t\tip saddr @banned drop
\t}
}
"""
    (chain,) = nft.chains(nft.with_elements(listed))
    *led, last = chain.rules
    taken = [nat.redirected_ports(f"nft inet mine pre: {rule}") for rule in led]
    ports = [[part.start for part in parts] for parts in taken]
    assert [[8000, 22293], [22294], [22292]] == ports
    assert "ip saddr @banned drop" == last
