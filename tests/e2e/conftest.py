"""Whole stacks with the real engine, in a copy of the project with a state of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
import testinfra.host

from cli import environment
from hosts.host import Host
from sandbox import layout
from sandbox import workstation as desks
from sandbox.inventory import inventory
from sandbox.project_copy import ProjectCopy

__all__ = ["ProjectCopy", "inventory"]


@pytest.fixture(scope="module")
def project(box: layout.Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectCopy]:
    """A project whose stacks are taken down at the end, whatever became of them."""
    made = ProjectCopy(
        tmp_path_factory.mktemp("project"), box, environment.prepare(lambda _text: None)
    )
    yield made
    for stack in made.stacks:
        made.run("./lab", "down", stack, "--yes")


@pytest.fixture(scope="module")
def host(box: layout.Layout) -> testinfra.host.Host:
    """The lab host, as testinfra sees it."""
    return testinfra.get_host(f"ssh://{box.host}", ssh_config=str(box.ssh_config))


class Desk:
    """The workstation, as a student sits at it."""

    def __init__(self, workstation: Host, box: layout.Layout) -> None:
        self._host, self._box = workstation, box

    def run(self, *argv: str) -> str:
        """Run a command there; return what it said."""
        return self._host.run(list(argv), timeout=60).stdout

    def get(self, url: str) -> str:
        """Ask for a page; return which server answered, were it by leading on."""
        who = ["-o", "/dev/null", "-w", "%header{x-served-by}"]
        return self.run("curl", "-sSk", "--max-time", "10", *who, url).partition(".")[0]

    def ssh(self, port: int) -> str:
        """Log in through a forward; return which server answered."""
        address = f"admin@{layout.HOST_ADDRESS}"
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        argv = ("ssh", "-q", *options, "-p", str(port), address, "hostname")
        return self.run(*argv).strip().partition(".")[0]

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
def desk(workstation: Host, box: layout.Layout) -> Desk:
    """The workstation."""
    return Desk(workstation, box)
