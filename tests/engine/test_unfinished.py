"""`destroy` removes what an interrupted `up` left, also what the state does not know."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import long
from tests.engine.conftest import LAB, RELAY, Engine

CAROL: dict[str, Any] = {
    "id": "carolcarol01", "number": 3, "login": "carol",
    "servers": [{"name": "yuno1",
                 "volumes": [{"name": "data", "path": "/srv/data"}]}, {"name": "yuno2"}],
    "tunnel": {"relay": RELAY},
}  # fmt: skip
IMAGE = {"kind": "image", "host": LAB, "id": "imageimage02", "recipe": "standin", "alias": "golden"}


def requests_of(engine: Engine, stack: str) -> list[str]:
    """Bring a stack up and down; return the changing requests of the `up` to LXD, in order."""
    requests: list[str] = []
    lxd = engine.hosts[LAB].lxd
    meet = lxd.meet

    def note(request: str) -> None:
        if not request.startswith("GET"):
            requests.append(request)
        meet(request)

    lxd.meet = note  # type: ignore[method-assign]
    try:
        engine.up(stack)
    finally:
        lxd.meet = meet  # type: ignore[method-assign]
    engine.destroy(stack)
    return requests


@pytest.mark.parametrize(("stack", "settings"), [("carol", CAROL), long("image", IMAGE)])
def test_destroy_after_an_interrupted_up_leaves_nothing(
    engine: Engine, stack: str, settings: dict[str, Any]
) -> None:
    """For each change: LXD makes it and the answer is lost, so that the state does not have it."""
    before = engine.inventory()
    engine.write(stack, **settings)
    changes = requests_of(engine, stack)
    assert before == engine.inventory()
    assert len(changes) > 5
    lxd = engine.hosts[LAB].lxd
    for cut in range(1, len(changes) + 1):
        count = 0
        change = lxd.change

        def lose(method: str, path: str, *rest: Any, **options: Any) -> Any:
            nonlocal count
            done = change(method, path, *rest, **options)  # noqa: B023
            count += 1
            if count >= cut:  # noqa: B023
                raise RuntimeError("the answer was lost")
            return done

        lxd.change = lose  # type: ignore[method-assign]
        try:
            engine.up(stack, ok=None)
        finally:
            lxd.change = change  # type: ignore[method-assign]
        engine.destroy(stack)
        assert before == engine.inventory(), f"cut at {cut}: {changes[:cut]}\n{engine.output}"


@pytest.mark.parametrize("kind", ["Rule", "Backend", "Entry", "Door", "Key", "Container",
                                  "Network", "Project", "Volume"])  # fmt: skip
def test_destroy_removes_resources_missing_from_the_state(engine: Engine, kind: str) -> None:
    """All resources of one kind are forgotten, with what depends on them; destroy finds them."""
    before = engine.inventory()
    engine.write("carol", **CAROL)
    engine.up("carol")
    while True:
        found = [item["urn"] for item in engine.state("carol")["deployment"]["resources"]
                 if item["type"].endswith(f":{kind}")]  # fmt: skip
        if not found:
            break
        engine.pulumi("state", "delete", found[0], "--target-dependents", "--yes", "-s", "carol")
    engine.destroy("carol")
    assert before == engine.inventory()


def test_resource_with_the_id_of_another_lab_is_never_swept(engine: Engine) -> None:
    """Two states with one project and stack name: the second's destroy leaves the first alone."""
    before = engine.inventory()
    engine.write("carol", **CAROL)
    engine.up("carol")
    up = engine.inventory()
    state = engine.state("carol")
    empty = {**state, "deployment": {**state["deployment"], "resources": []}}
    engine.load("carol", empty)
    engine.write("carol", **{**CAROL, "id": "anothercarol"})
    output = engine.up("carol", ok=False)
    assert "another carol's" in output
    assert "grappe:id: carolcarol01" in output
    engine.destroy("carol")
    assert up == engine.inventory()
    engine.write("carol", **CAROL)
    engine.load("carol", state)
    engine.destroy("carol")
    assert before == engine.inventory()
