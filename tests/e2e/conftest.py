"""Whole stacks with the real engine, in a copy of the project with a state of its own."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
import testinfra.host

from cli import environment
from providers.hosts import gateway
from providers.lxd import daemon
from sandbox import desk as desks
from sandbox import layout
from sandbox.trial import Trial as Project


@pytest.fixture(scope="module")
def project(box: layout.Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose stacks are taken down at the end, whatever became of them."""
    made = Project(tmp_path_factory.mktemp("project"), box, environment.prepare(lambda _text: None))
    yield made
    for stack in made.stacks:
        made.run("./lab", "down", stack, "--yes")


@pytest.fixture(scope="module")
def host(box: layout.Layout) -> testinfra.host.Host:
    """The lab host, as testinfra sees it."""
    return testinfra.get_host(f"ssh://{box.host}", ssh_config=str(box.ssh_config))


class Desk:
    """The workstation, as a student sits at it."""

    def __init__(self, workstation: gateway.Host, box: layout.Layout) -> None:
        self._host, self._box = workstation, box

    def run(self, *argv: str) -> str:
        """Run a command there; return what it said."""
        return self._host.run(list(argv), timeout=60).stdout

    def get(self, url: str) -> str:
        """Load a page; return which server answered."""
        return self.run("curl", "-sSk", "--max-time", "10", url).partition(":")[0]

    def ssh(self, port: int) -> str:
        """Log in through a forward; return which server answered."""
        address = f"admin@{layout.HOST_ADDRESS}"
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        argv = ("ssh", "-q", *options, "-p", str(port), address, "hostname")
        return self.run(*argv).strip()

    def login(self, user: str, port: int, password: str) -> str:
        """Log in through a forward with a password; return which server answered."""
        return desks.login(self._box, user, port, password)

    def answers(self, servers: list[dict[str, Any]]) -> bool:
        """Whether every way to every server leads to that server."""
        return all(
            server["name"] == answer
            for server in servers
            for answer in (self.ssh(server["ssh"]["port"]), *map(self.get, server["urls"]))
        )


@pytest.fixture
def desk(workstation: gateway.Host, box: layout.Layout) -> Desk:
    """The workstation."""
    return Desk(workstation, box)


def inventory(lab_host: gateway.Host, workstation: gateway.Host) -> dict[str, str]:
    """Return everything on the host that destroying the last student must leave as it was."""
    program = daemon.on(lab_host).program
    lxc = program + " {} list --format csv"
    files = ("/etc/ufw/before.rules /etc/ufw/before.init /etc/ufw/user.rules "
             "/etc/haproxy/haproxy.cfg /etc/hosts")  # fmt: skip
    looks = {
        "files": f"sha256sum {files}; stat -c '%n %a %U:%G' {files}",
        "iptables": "iptables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'",
        "nft": "nft list ruleset 2>/dev/null | sed -E 's/packets [0-9]+ bytes [0-9]+//'",
        "projects": lxc.format("project"), "networks": lxc.format("network"),
        "instances": f"{program} list --all-projects --format csv", "images": lxc.format("image"),
        "profiles": lxc.format("profile"),
        # Without the count of users: LXD keeps an unpacked copy of an image it was asked for once.
        "pools": f"{lxc.format('storage')} | cut -d, -f1-3",
        "units": "systemctl list-unit-files --no-legend; systemctl is-active haproxy ufw",
        "ports": "ss -Hltun | awk '{print $1, $5}' | sort",
        "processes": "ps -eo comm --no-headers | grep -c dnsmasq; true",
        "left": "ls -d /var/lib/grappe* /etc/systemd/system/grappe* 2>&1; true",
    }  # fmt: skip
    found = {
        name: lab_host.run(["sh", "-c", script], check=False).stdout
        for name, script in looks.items()
    }
    hosts = pathlib.Path(workstation.etc_hosts)
    found["workstation"] = f"{hosts.read_text()}{hosts.stat().st_mode:o}"
    return found
