"""UFW around us: reloaded, disabled, enabled, and the host rebooted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.hosts import command, gateway
from sandbox import box as boxes
from sandbox import layout
from tests.e2e.conftest import Desk, Project

pytestmark = pytest.mark.sandbox

COUNT = "iptables -t nat -S | grep -c -- '-A PREROUTING -j GRAPPE-DNAT'"


@pytest.fixture(scope="module")
def erin(project: Project) -> Iterator[str]:
    """A student's lab that is up."""
    project.write("erin", 21)
    project.up("erin")
    yield "erin"
    project.destroy("erin")


def test_a_rule_in_the_words_of_nft_is_left_alone(project: Project, box: layout.Layout) -> None:
    """It hides its whole table from iptables-save; the last rule of ours leaves all the same."""
    host = gateway.connect(box.host_url)
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
        "ufw reload && ufw reload",
        # What the sheet says after each change of before.rules.
        "iptables -t nat -F && ufw reload",
        "ufw disable",
        "ufw --force enable",
        "ufw disable && ufw --force enable",
    ],
)
def test_everything_answers_after(
    project: Project, desk: Desk, lab_host: gateway.Host, erin: str, action: str
) -> None:
    """The rules are there once, and every way leads to its server."""
    lab_host.run(["sh", "-ec", action])
    assert "1" == lab_host.run(["sh", "-c", COUNT]).stdout.strip()
    assert desk.answers(project.outputs(erin)["servers"])
    project.up(erin, "--expect-no-changes")


@pytest.mark.parametrize("enabled", [True, False], ids=["ufw enabled", "ufw disabled"])
def test_everything_answers_after_a_reboot(
    project: Project, desk: Desk, box: layout.Layout, lab_host: gateway.Host, erin: str,
    enabled: bool,
) -> None:  # fmt: skip
    """Rules and backends come back by themselves, with UFW and without."""
    lab_host.run(["ufw", "--force", "enable" if enabled else "disable"])
    gateway.close_all()
    boxes.restart(box)
    servers = project.outputs(erin)["servers"]

    def up() -> bool:
        try:
            return desk.answers(servers)
        except Exception:  # noqa: BLE001 - not yet
            return False

    command.wait_until(up, what="the lab after a reboot", timeout=60, pause=0.5)
    project.up(erin, "--expect-no-changes")


def test_a_lab_made_while_ufw_is_not_enabled(
    project: Project, desk: Desk, box: layout.Layout
) -> None:
    """It works before UFW is enabled, and after."""
    host = gateway.connect(box.host_url)
    host.run(["ufw", "disable"])
    project.write("frank", 22)
    project.up("frank")
    servers = project.outputs("frank")["servers"]
    assert desk.answers(servers)
    host.run(["ufw", "--force", "enable"])
    assert desk.answers(servers)
    project.up("frank", "--expect-no-changes")
    project.destroy("frank")
