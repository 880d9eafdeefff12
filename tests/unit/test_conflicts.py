"""Other people's rules on a lab host, as doctor and preview read them."""

from __future__ import annotations

import pytest

from checks import conflicts
from remote.surveys import lab

BEFORE = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:f2b-web - [0:0]\n"
AFTER = "-A INPUT -j ufw-before-input\n-A FORWARD -j ufw-before-forward\n"


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
    ],
)  # fmt: skip
def test_a_drop_before_ufw_is_found(rules: str, found: int) -> None:
    """One about pages or servers; not one about other ports, protocols or bridges."""
    assert found == len(list(conflicts.drops({"chains": BEFORE + rules + AFTER})))
    assert [] == list(conflicts.drops({"chains": BEFORE + AFTER + rules}))


@pytest.mark.parametrize(
    ("rule", "consulted"),
    [
        ("32765:\tfrom 192.168.9.9 lookup 200", False),
        ("32765:\tfrom all fwmark 0x1 lookup 200", False),
        ("32765:\tnot from all fwmark 0xca6c lookup 200", True),
        ("32765:\tfrom all to 10.0.0.0/8 lookup 200", True),
        ("32765:\tfrom 192.168.8.0/24 lookup 200", True),
        ("32765:\tfrom all lookup 200 uidrange 0-0", False),
        ("", False),
    ],
)
def test_a_table_counts_where_a_labs_packets_consult_it(
    rule: str, consulted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that is for marked packets, for one user or for one address."""
    listed = {
        "rule": f"0:\tfrom all lookup local\n{rule}\n32766:\tfrom all lookup main\n",
        "route": "default via 192.168.8.1 dev eth0\n10.0.0.0/8 via 192.168.8.2 dev eth0 table 200\n",
    }
    monkeypatch.setattr(lab, "run", lambda argv: (0, listed[argv[2]], ""))
    found = {"routes": lab._routes()}
    assert consulted == bool(list(conflicts.routes(found, "10.64.8.0/24", "gr-8")))


def test_a_rule_that_drops_a_network_is_a_route_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how it is removed."""
    listed = {"rule": "100:\tfrom all to 10.64.8.0/24 prohibit\n", "route": ""}
    monkeypatch.setattr(lab, "run", lambda argv: (0, listed[argv[2]], ""))
    (line,) = conflicts.routes({"routes": lab._routes()}, "10.64.8.0/24", "gr-8")
    assert "ip rule del from all to 10.64.8.0/24 prohibit" == conflicts.removal_command(line)
    assert [] == list(conflicts.routes({"routes": lab._routes()}, "10.64.9.0/24", "gr-9"))
