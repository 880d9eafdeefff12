"""Abilities of a host (GPU, id ranges, shifted mounts), and the settings that need them."""

from __future__ import annotations

import glob
import json
from typing import Any

import pytest

from providers.lxd.options import config_keys
from remote.surveys import abilities, lxd, programs
from stacks import preflight_plan, spec


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [("uid 1000-1000", False), ("uid 1001-1001", True), ("uid 999-1000", True),
     ("uid 1000000-1065535", False), ("uid 1065535-1065536", True), ("gid 5-5", False)],
)  # fmt: skip
def test_ids_outside_roots_subid_ranges_are_missing(
    monkeypatch: pytest.MonkeyPatch, wanted: str, missing: bool
) -> None:
    """Only root's ranges count; without newuidmap on the host nothing is missing."""
    lent = {"/etc/subuid": "eve:5:99999\n# root:1:1\nroot:1000:1\nroot:1000000:65536\nroot:x\n"}
    monkeypatch.setattr(abilities, "read_text", lambda path: lent.get(path, ""))
    monkeypatch.setattr(programs, "which", lambda _program: "/usr/bin/newuidmap")
    assert [wanted] * missing == abilities.missing([wanted], [])
    monkeypatch.setattr(programs, "which", lambda _program: "")
    assert [] == abilities.missing([wanted], [])


def test_gpu_is_found_by_drm_card_or_pci_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DRM card or a PCI display controller; without either the GPU is missing."""
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
def test_shift_is_missing_only_if_lxd_reports_so(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, str], missing: bool
) -> None:
    """It is not missing if LXD reports no kernel features."""

    def tell(_socket: str, _path: str) -> Any:
        return {"environment": {"kernel_features": features}}

    monkeypatch.setattr(lxd, "query", tell)
    assert ["shift"] * missing == abilities.missing(["shift"], ["/"])


def test_plan_lists_the_abilities_that_settings_need() -> None:
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


def test_raw_idmap_yields_the_hosts_id_ranges() -> None:
    """`both` yields a uid and a gid range; an invalid line yields none."""
    text = "both 1000 1000\nuid 5-9 50-54\nnonsense\ngid 5-3 7-5"
    listed = [("uid", range(1000, 1001)), ("gid", range(1000, 1001)), ("uid", range(5, 10))]
    assert listed == list(config_keys.mapped(text))
