"""Forced replacements on the real host; tests/engine has every operation on every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hosts.host import Host
from tests.conftest import long
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox

# One resource of each kind, and whether a replacement recreates its object on the host.
KINDS = {
    "olga-yuno1": True, "olga-yuno1-ssh": False, "olga-yuno1-web": False, "olga-yuno1-hosts": False,
    "gr-91": False, "grappe-olga": False, "preflight": False, "olga-yuno1-data": False,
}  # fmt: skip

# Those that `./lab test` replaces: a container, a fragment, a bridge.
SOME = ("olga-yuno1", "olga-yuno1-web", "gr-91")


@pytest.fixture(scope="module")
def olga(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """Her lab, up."""
    servers = [{"name": "yuno1", "volumes": [{"name": "data", "path": "/srv/data"}]}]
    project.write("olga", 91, id="olgaolgaolga", servers=servers)
    project.up("olga")
    yield project
    project.destroy("olga")


def urn(project: ProjectCopy, name: str) -> str:
    resources = json.loads(project.pulumi("stack", "export", "-s", "olga"))["deployment"][
        "resources"
    ]
    (found,) = [
        item["urn"]
        for item in resources
        if item["urn"].endswith(f"::{name}") and "pulumi-python:dynamic" in item["type"]
    ]
    return str(found)


def container_uuid(lab_host: Host) -> str:
    argv = ["lxc", "query", "/1.0/instances/yuno1?project=grappe-olga"]
    return str(json.loads(lab_host.run(argv).stdout)["config"]["volatile.uuid"])


@pytest.mark.parametrize(
    ("name", "operation"),
    [*((name, "--replace") for name in SOME), ("olga-yuno1", "taint"),
     *(long(name, "--replace") for name in KINDS if name not in SOME),
     *(long(name, "taint") for name in list(KINDS)[1:])],
)  # fmt: skip
def test_forced_replacement_on_the_real_host_loses_nothing(
    olga: ProjectCopy, lab_host: Host, client: Client, name: str, operation: str
) -> None:
    """Every server is reachable, and the next `up` has nothing to do."""
    before = container_uuid(lab_host)
    if operation == "taint":
        olga.pulumi("state", "taint", urn(olga, name), "-s", "olga")
        olga.up("olga")
    else:
        olga.up("olga", operation, urn(olga, name))
    assert (before != container_uuid(lab_host)) is KINDS[name]
    assert client.reaches(olga.outputs("olga")["servers"])
    olga.up("olga", "--expect-no-changes")
