"""Fixtures of end-to-end tests: a project copy with a state of its own, and a student's clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
import testinfra.host

from cli import environment
from hosts.host import Host
from sandbox import layout
from sandbox.inventory import inventory
from sandbox.project_copy import ProjectCopy
from sandbox.workstation import login

__all__ = ["ProjectCopy", "inventory"]


@pytest.fixture(scope="module")
def project(
    sandbox: layout.Layout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProjectCopy]:
    """A copy of the project; its stacks are taken down at the end, also after a failure."""
    made = ProjectCopy(
        tmp_path_factory.mktemp("project"), sandbox, environment.prepare(lambda _text: None)
    )
    yield made
    for stack in made.stacks:
        made.run("./lab", "down", stack, "--yes")


@pytest.fixture(scope="module")
def host(sandbox: layout.Layout) -> testinfra.host.Host:
    """The lab host, over testinfra."""
    return testinfra.get_host(f"ssh://{sandbox.host}", ssh_config=str(sandbox.ssh_config))


class Client:
    """HTTP and SSH clients on the workstation; most calls return which server answered."""

    def __init__(self, workstation: Host, sandbox: layout.Layout) -> None:
        self._host, self._sandbox = workstation, sandbox

    def run(self, *argv: str) -> str:
        """Run a command on the workstation; return its standard output."""
        return self._host.run(list(argv), timeout=60).stdout

    def get(self, url: str) -> str:
        """Request a URL; return the name of the server that answered, also with a redirect."""
        who = ["-o", "/dev/null", "-w", "%header{x-served-by}"]
        return self.run("curl", "-sSk", "--max-time", "10", *who, url).partition(".")[0]

    def ssh(self, port: int) -> str:
        """Log in by SSH through a forwarded port; return the server's name."""
        address = f"admin@{layout.HOST_ADDRESS}"
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        argv = ("ssh", "-q", *options, "-p", str(port), address, "hostname")
        return self.run(*argv).strip().partition(".")[0]

    def login(self, user: str, port: int, password: str) -> str:
        """Log in by SSH with a password; return the server's name."""
        return login(self._sandbox, user, port, password)

    def reaches(self, servers: list[dict[str, Any]]) -> bool:
        """Return whether SSH and every URL of each server reach that server."""
        return all(
            server["name"] == answer
            for server in servers
            for answer in (self.ssh(server["ssh"]["port"]), *map(self.get, server["urls"]))
        )


@pytest.fixture
def client(workstation: Host, sandbox: layout.Layout) -> Client:
    """HTTP and SSH clients on the workstation."""
    return Client(workstation, sandbox)
