"""What a host can do for servers, and what of a lab wants it."""

from __future__ import annotations

import glob
import json
from typing import Any

import pytest

from providers.lxd.options import values
from remote.surveys import abilities, lxd, programs
from stacks import preflight_plan, spec


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [("uid 1000-1000", False), ("uid 1001-1001", True), ("uid 999-1000", True),
     ("uid 1000000-1065535", False), ("uid 1065535-1065536", True), ("gid 5-5", False)],
)  # fmt: skip
def test_ids_that_root_does_not_lend_are_missing(
    monkeypatch: pytest.MonkeyPatch, wanted: str, missing: bool
) -> None:
    """Another user's do not count; where no file says anything, nobody is refused."""
    lent = {"/etc/subuid": "eve:5:99999\n# root:1:1\nroot:1000:1\nroot:1000000:65536\nroot:x\n"}
    monkeypatch.setattr(abilities, "read_text", lambda path: lent.get(path, ""))
    monkeypatch.setattr(programs, "which", lambda _program: "/usr/bin/newuidmap")
    assert [wanted] * missing == abilities.missing([wanted], [])
    monkeypatch.setattr(programs, "which", lambda _program: "")
    assert [] == abilities.missing([wanted], [])


def test_a_gpu_is_a_card_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a display controller on the PCI bus, which its maker's driver serves; else missing."""
    for cards, kind, missing in (
        (["card0"], "", []),
        ([], "0x030000", []),
        ([], "0x020000", ["GPU"]),
    ):
        found = {"drm": cards, "pci": ["class"]}
        monkeypatch.setattr(
            glob, "glob", lambda pattern, found=found: found["drm" if "/drm/" in pattern else "pci"]
        )
        monkeypatch.setattr(abilities, "read_text", lambda _path, kind=kind: kind)
        assert missing == abilities.missing(["GPU", "GPU"], [])


@pytest.mark.parametrize(
    ("features", "missing"),
    [({"idmapped_mounts": "true"}, False), ({"shiftfs": "true"}, False), ({}, False),
     ({"idmapped_mounts": "false", "shiftfs": "false"}, True)],
)  # fmt: skip
def test_shifting_is_what_lxd_says_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, str], missing: bool
) -> None:
    """It is not missing where LXD says nothing."""

    def tell(_socket: str, _path: str) -> Any:
        return {"environment": {"kernel_features": features}}

    monkeypatch.setattr(lxd, "query", tell)
    assert ["shift"] * missing == abilities.missing(["shift"], ["/"])


def test_settings_say_what_they_want_of_the_host() -> None:
    """Each by its key."""
    servers = [{
        "name": "a", "config": {"raw.idmap": "both 1000 2000\nuid 5-9 50-54"},
        "devices": {"g": {"type": "gpu"}, "d": {
            "type": "disk", "source": "/srv", "path": "/srv", "shift": "yes"}},
    }]  # fmt: skip
    texts = {"grappe:host": "ssh://lab", "grappe:number": "1", "grappe:id": "abcdefabcdef",
             "grappe:servers": json.dumps(servers)}  # fmt: skip
    plan = preflight_plan.plan(
        spec.parse(texts, project="grappe", stack="alice"),
        {"host": "ssh://lab", "owner": "grappe/alice", "lab": "abcdefabcdef"},
    )
    start = "grappe:servers[0]"
    assert plan.abilities == (
        (f"{start}.devices.d.shift", "shift"), (f"{start}.devices.g.type", "GPU"),
        (f"{start}.config.raw.idmap", "uid 1000-1000"),
        (f"{start}.config.raw.idmap", "gid 1000-1000"),
        (f"{start}.config.raw.idmap", "uid 5-9"),
    )  # fmt: skip


def test_a_map_of_ids_names_the_hosts() -> None:
    """`both` means two; a line that is no map, none."""
    text = "both 1000 1000\nuid 5-9 50-54\nnonsense\ngid 5-3 7-5"
    listed = [("uid", range(1000, 1001)), ("gid", range(1000, 1001)), ("uid", range(5, 10))]
    assert listed == list(values.mapped(text))
