"""Causes of closed ports inside a running server: address, route, service."""

from __future__ import annotations

import pytest

from providers.lxd.container import network_faults

LO = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n"
OWN = "2: eth0    inet 10.64.1.10/24 brd 10.64.1.255 scope global dynamic eth0\n"
DEFAULT = "default via 10.64.1.1 dev eth0 proto dhcp src 10.64.1.10\n"
NET = "10.64.1.0/24 dev eth0 proto kernel scope link src 10.64.1.10\n"
SSH = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1\n"
WEB = SSH.replace(":0016", ":0050") + SSH.replace(":0016", ":01BB")
TALKS = SSH.replace(" 0A ", " 01 ").replace(":0016", ":0050")


@pytest.mark.parametrize(
    ("surveyed", "ports", "faults", "remedy"),
    [
        (LO + NET, [22], ["it has lost its address 10.64.1.10"], "reboot"),
        (LO + OWN + NET + SSH, [22], ["it has no default route"], "reboot"),
        (LO + OWN + DEFAULT + NET + WEB, [22], ["nothing in it listens on 22"],
         "systemctl restart ssh"),
        (LO + OWN + DEFAULT + NET + SSH + TALKS, [80, 443], ["nothing in it listens on 80, 443"],
         "systemctl restart nginx"),
        # Other checks find a ban, or the server's own firewall.
        (LO + OWN + DEFAULT + NET + SSH + WEB, [22, 80], [], ""),
        # Without `ip` nothing is known of its addresses; without /proc, of who listens.
        (SSH + WEB, [22], [], ""),
        ("", [22], [], ""),
    ],
)  # fmt: skip
def test_closed_port_has_a_cause_inside(
    surveyed: str, ports: list[int], faults: list[str], remedy: str
) -> None:
    assert network_faults.judge(surveyed, "10.64.1.10", ports) == faults
    assert network_faults.remedy(faults) == remedy
