"""Every engine operation (replace, taint, state delete, targets) on every kind of resource.

After each, the servers answer, the next `up` has nothing to do, and destroying leaves the hosts as
they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.conftest import LAB, OTHER, RELAY, Engine

ALICE = {
    "id": "alicealice01", "number": 1, "login": "alice",
    "servers": [
        {"name": "yuno1", "recipe": "standin", "publish": "by-hand",
         "volumes": [{"name": "data", "path": "/srv/data", "size": "64MiB"}],
         "snapshots": ["fresh"]},
        {"name": "yuno2", "image": "by-hand"},
    ],
    "tunnel": {"relay": RELAY},
    "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Dgnm2EqtYbZGQ2gMzYjn9FZ2mxrUkEyMGmEJn8ySQ a"],
}  # fmt: skip
IMAGE = {"kind": "image", "host": LAB, "id": "imageimage01", "recipe": "standin", "alias": "golden"}
# The logical names of everything that the two stacks make.
STUDENT = ("preflight", "gr-1", "grappe-alice", "alice-yuno1-ssh", "alice-yuno1-data",
           "alice-yuno1", "alice-yuno1-command", "alice-yuno1-image", "alice-yuno1-postinstall",
           "alice-yuno1-fresh", "alice-yuno1-keys", "alice-yuno1-web", "alice-yuno1-page", "alice-yuno1-hosts", "alice-yuno1-probe",
           "alice-tunnel-key", "alice-tunnel-door", "alice-tunnel")  # fmt: skip
GOLDEN = ("golden-preflight", "image-base", "grappe-image-image", "gr-i1", "gr-i1-opening",
          "build-standin", "golden-command", "golden")  # fmt: skip
CELLS = [("alice", name) for name in STUDENT] + [("image", name) for name in GOLDEN]
CONTAINERS = {
    "alice": ("grappe-alice", "yuno1"), "image": ("grappe-image-image", "build-standin"),
}  # fmt: skip
# Resources whose replacement recreates the object on the host.
RECREATED = ("alice-yuno1", "build-standin")


@pytest.fixture(scope="module")
def stacks(engine: Engine) -> Iterator[Engine]:
    """Both stacks, up; destroying them leaves the hosts as they were."""
    before = engine.inventory()
    engine.write("image", **IMAGE)
    engine.up("image")
    engine.write("alice", **ALICE)
    path = engine.project / "stacks" / "Pulumi.alice.yaml"
    engine.pulumi("config", "set", "--secret", "grappe:password", "Engine-4711", "-s", "alice")
    assert "secure" in path.read_text()
    engine.up("alice")
    yield engine
    engine.destroy("alice")
    engine.destroy("image")
    assert before == engine.inventory()


def answers(engine: Engine) -> bool:
    """Return whether SSH, HTTP and HTTPS reach both of alice's servers."""
    host = engine.hosts[LAB]
    checks: list[dict[str, Any]] = [
        check
        for index, name in enumerate(("yuno1", "yuno2"))
        for check in (
            {"kind": "ssh", "port": 22222 + index},
            {"kind": "http", "port": 80, "domain": f"{name}.alice.grappe.test"},
            {"kind": "https", "port": 443, "domain": f"{name}.alice.grappe.test"},
        )
    ]
    return all(host._reach(check)["ok"] for check in checks)


def created_at(engine: Engine, project: str, name: str) -> str:
    return str(engine.hosts[LAB].lxd.instances[project, name]["created_at"])


@pytest.mark.parametrize("operation", ["--replace", "--target-replace", "taint"])
@pytest.mark.parametrize(("stack", "name"), CELLS)
def test_forced_replacement_loses_nothing(
    stacks: Engine, stack: str, name: str, operation: str
) -> None:
    """Only containers are recreated; everything else stays."""
    urn = stacks.urn(stack, name)
    container = CONTAINERS[stack]
    before = created_at(stacks, *container)
    if operation == "taint":
        stacks.pulumi("state", "taint", urn, "-s", stack)
        stacks.up(stack)
    else:
        stacks.up(stack, operation, urn)
    assert (before != created_at(stacks, *container)) is (name in RECREATED)
    assert answers(stacks)
    if operation == "--target-replace" and name in RECREATED:
        # The steps in the new server were not among the targets.
        stacks.up(stack)
    stacks.assert_unchanged(stack)


@pytest.mark.parametrize(("stack", "name"), CELLS)
def test_resource_missing_from_the_state_is_taken_over(
    stacks: Engine, stack: str, name: str
) -> None:
    """After a `state delete` with its dependents, the next `up` reuses what is on the host."""
    container = CONTAINERS[stack]
    before = created_at(stacks, *container)
    urn = stacks.urn(stack, name)
    stacks.pulumi("state", "delete", urn, "--target-dependents", "--yes", "-s", stack)
    stacks.up(stack)
    assert before == created_at(stacks, *container)
    assert answers(stacks)
    stacks.assert_unchanged(stack)


@pytest.mark.parametrize("stack", ["alice", "image"])
def test_restored_older_state_takes_its_lab_over(stacks: Engine, stack: str) -> None:
    """All resources were replaced after the backup; the next `up` reuses what is on the host."""
    kept = stacks.state(stack)
    names = [name for owner, name in CELLS if owner == stack]
    stacks.up(stack, *(word for name in names for word in ("--replace", stacks.urn(stack, name))))
    assert answers(stacks)
    stacks.load(stack, kept)
    stacks.up(stack)
    assert answers(stacks)
    stacks.assert_unchanged(stack)


def test_refresh_changes_nothing(stacks: Engine) -> None:
    """The hosts match state and stack file."""
    stacks.pulumi("refresh", "--yes", "--skip-preview", "-s", "alice", "--expect-no-changes")
    stacks.assert_unchanged("alice")


def test_untainted_resource_stays(stacks: Engine) -> None:
    """Nothing to do."""
    urn = stacks.urn("alice", "alice-yuno1")
    stacks.pulumi("state", "taint", urn, "-s", "alice")
    stacks.pulumi("state", "untaint", urn, "-s", "alice")
    stacks.assert_unchanged("alice")


@pytest.mark.parametrize("name", ["alice-yuno1", "alice-yuno1-ssh", "gr-1"])
def test_targets_and_excludes_touch_only_their_resources(stacks: Engine, name: str) -> None:
    """One alone, or all but one."""
    urn = stacks.urn("alice", name)
    stacks.up("alice", "--target", urn)
    stacks.up("alice", "--exclude", urn)
    assert answers(stacks)
    stacks.assert_unchanged("alice")


def test_protected_server_stays(stacks: Engine) -> None:
    """`destroy` fails at it; the next `up` restores its rule, route and entry."""
    urn = stacks.urn("alice", "alice-yuno2")
    before = created_at(stacks, "grappe-alice", "yuno2")
    stacks.pulumi("state", "protect", urn, "--yes", "-s", "alice")
    stacks.destroy("alice", ok=False)
    assert before == created_at(stacks, "grappe-alice", "yuno2")
    stacks.pulumi("state", "unprotect", urn, "--yes", "-s", "alice")
    stacks.up("alice")
    assert before == created_at(stacks, "grappe-alice", "yuno2")
    assert answers(stacks)
    stacks.assert_unchanged("alice")


def test_failed_resource_does_not_stop_others_on_request(stacks: Engine) -> None:
    """With --continue-on-error; the next `up` creates the failed one."""
    lxd = stacks.hosts[LAB].lxd
    urn = stacks.urn("alice", "alice-yuno2")
    lxd.fails.add("POST instances")
    try:
        stacks.up("alice", "--continue-on-error", "--replace", urn, ok=False)
    finally:
        lxd.fails.clear()
    stacks.up("alice")
    assert answers(stacks)
    stacks.assert_unchanged("alice")


def test_move_to_another_host_leaves_nothing_on_the_old_one(stacks: Engine) -> None:
    """The old host keeps nothing; `destroy` leaves both hosts as they were."""
    stacks.write("bob", id="bobbobbobbob", number=2)
    before = stacks.inventory()
    stacks.up("bob")
    stacks.write("bob", id="bobbobbobbob", number=2, host=OTHER)
    stacks.up("bob")
    assert ("grappe-bob", "yuno1") in stacks.hosts[OTHER].lxd.instances
    assert "grappe-bob" not in stacks.hosts[LAB].lxd.projects
    stacks.assert_unchanged("bob")
    stacks.destroy("bob")
    assert before == stacks.inventory()
