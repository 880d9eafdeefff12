"""Labs as earlier versions left them come up without replacement, deletion or restart."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from core import run
from engine import removal
from engine.state import State
from providers.fragments import fake as fragments
from providers.lxd.postinstall import services
from stacks import files, recipe
from tests import fake_hosts as fake
from tests.engine.conftest import Engine, running

RECORDED = pathlib.Path(__file__).parent.parent / "recorded"
HOST, WORKSTATION, RELAY = "ssh://root@grappe-host", "netns:grappe-ws", "ssh://root@grappe-relay"
STACKS = ("demo-image", "demo", "full")


def _fill(host: fake.FakeHost, facts: dict[str, Any]) -> None:
    host.machine_id, host.address = facts["machine_id"], facts["address"]
    for path, found in facts["files"].items():
        real = host.root / path[1:]
        real.parent.mkdir(parents=True, exist_ok=True)
        if "link" in found:
            real.symlink_to(found["link"])
            continue
        real.write_text(found["content"])
        real.chmod(found["mode"])


def _fill_lxd(host: fake.FakeHost, things: dict[str, Any]) -> None:
    lxd = host.lxd
    lxd.projects = {item["name"]: item for item in things["projects"]}
    lxd.networks = {item["name"]: item for item in things["networks"] if item["managed"]}
    lxd.images = {item["fingerprint"]: item for item in things["images"]}
    lxd.aliases = {item["name"]: item["target"] for item in things["aliases"]}
    lxd.descriptions = {item["name"]: item["description"] for item in things["aliases"]}
    lxd.volumes = {(item["project"], item["name"]): item for item in things["volumes"]}
    lxd.snapshots = {
        (item["project"], item["instance"], item["name"]): item for item in things["snapshots"]
    }
    for item in things["instances"]:
        project, name = item["project"], item["name"]
        lxd.instances[project, name] = item
        domain = f"{name}.{project.removeprefix('grappe-')}.grappe.test"
        for path in ("/etc/yunohost/installed", "/etc/yunohost/current_host",
                     "/etc/systemd/system/multi-user.target.wants/standin-first-boot.service"):  # fmt: skip
            lxd.files[project, name, path] = domain.encode()


def _load_chains(system: fragments.FakeSystem, saved: str) -> None:
    system.chains = {}
    lines = [line for line in saved.splitlines() if line and line[0] in "*:-C"]
    assert system.run(["iptables-restore", "-w"], "\n".join(lines)).status == 0


@pytest.fixture(params=sorted(path.name for path in RECORDED.iterdir() if path.is_dir()))
def labs(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Hosts, stack files and states of an earlier version."""
    folder = RECORDED / request.param
    for function in (recipe.names, recipe.read):
        monkeypatch.setattr(function, "__defaults__", (folder / "recipes",))
    hosts = fake.connected_hosts(tmp_path / "hosts", RECORDED.parent / "contract" / "data",
                       (HOST, WORKSTATION, RELAY))  # fmt: skip
    for url, name in ((HOST, "host"), (WORKSTATION, "workstation"), (RELAY, "relay")):
        _fill(hosts[url], json.loads((folder / f"{name}.json").read_text()))
    host = hosts[HOST]
    _fill_lxd(host, json.loads((folder / "lxd.json").read_text()))
    _load_chains(host.system, (folder / "iptables.txt").read_text())
    host.system.loaded = (host.root / "etc/haproxy/haproxy.cfg").read_text()
    (host.root / "var/lib/grappe-tunnel/demo/key").write_text("private")
    host.tunnels.users.add("grappe-tunnel")
    for units in (host.tunnels.enabled, host.tunnels.active):
        units.add("grappe-tunnel-demo.service")
    hosts[RELAY].system.users.add("grappe-tunnel")
    with running(tmp_path, hosts, (folder / "passphrase").read_text().strip()) as made:
        states = made.project / ".state" / ".pulumi" / "stacks" / "grappe"
        states.mkdir(parents=True)
        (states.parent.parent / "meta.yaml").write_text("version: 1\n")
        for stack in STACKS:
            shutil.copy(folder / "stacks" / f"Pulumi.{stack}.yaml", made.project / "stacks")
            shutil.copy(folder / f"{stack}.state.json", states / f"{stack}.json")
        yield made


def _changes(engine: Engine) -> list[str]:
    """Return the requests to LXD that a student could notice."""
    return [
        request
        for request in engine.requests
        if (
            request.startswith(("DELETE", "POST"))
            # This only reads whether the container has booted.
            and not request.endswith("/exec")
        )
        or request.endswith("/state")
    ]


@pytest.mark.parametrize("with_id", [False, True])
def test_recorded_lab_comes_up_unchanged(labs: Engine, with_id: bool) -> None:
    """The first `up` recreates, deletes and restarts nothing; the second has nothing to do."""
    reloads = labs.hosts[HOST].system.reloads
    labs.record_requests(HOST)
    for number, stack in enumerate(STACKS):
        if with_id:
            labs.pulumi("config", "set", "grappe:id", f"recorded{number:04}", "-s", stack)
        output = labs.up(stack)
        assert "+-" not in output
        assert "deleted" not in output
        # Only the page of a server that is being installed is new in this version.
        made = [line for line in output.splitlines() if " created (" in line]
        assert [] == [line for line in made if "-page created" not in line]
        labs.assert_unchanged(stack)
    assert [] == _changes(labs)
    surveys = [services.survey(), services.inspection(start=True)]
    executed = labs.hosts[HOST].lxd.argv
    assert all(argv in surveys or argv[:2] == ["getent", "passwd"] for argv in executed)
    assert labs.hosts[HOST].system.reloads <= reloads + 1
    for stack in reversed(STACKS):
        labs.destroy(stack)
    lxd = labs.hosts[HOST].lxd
    assert (["default"], {}) == (list(lxd.projects), lxd.instances)
    assert {} == lxd.aliases


def test_recorded_lab_is_taken_down_without_the_engine(labs: Engine) -> None:
    """The providers in its state delete what they made."""
    for stack in reversed(STACKS):
        state = State(labs.project / ".state", "grappe", stack)
        config = files.configuration(labs.project / "stacks", stack).plain
        assert "" == removal.take_down(state, config, run.Run(command="destroy", rebuild=""))
        assert [] == state.resources()
    lxd = labs.hosts[HOST].lxd
    assert (["default"], {}, {}) == (list(lxd.projects), lxd.instances, lxd.aliases)
