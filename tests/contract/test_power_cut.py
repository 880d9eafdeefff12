"""Repairs of LXD after a power cut: bridges, containers and volumes that it no longer changes."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest

from core import codec, errors, names
from providers.lxd import fake
from providers.lxd.image import aliases
from providers.lxd.network import driver as networks
from providers.lxd.network.model import NetworkSpec
from providers.lxd.volume import driver as volumes
from providers.lxd.volume import model as volume_model
from remote import power_cut
from tests.contract.conftest import BRIDGE, OWNER, PROJECT, LxdTestbed
from tests.contract.test_lxd import bridge, container_driver, server

HOME = "/var/lib/lxd"
POOL = f"{HOME}/storage-pools/default"
NOTE = f"{HOME}/networks/{BRIDGE}/dnsmasq.pid"
FORGET = f"kill $(sed -n 's/^pid: //p' {NOTE}); : > {NOTE}"
real = pytest.mark.parametrize(
    "testbed", [pytest.param("real", marks=pytest.mark.sandbox)], indirect=True
)


def create(testbed: LxdTestbed, spec: NetworkSpec) -> None:
    """Create a bridge, and wait until LXD has finished."""
    networks.NetworkDriver(testbed.lxd).create(spec)
    testbed.lxd.finish(f"networks/{spec.name}")


@real
class TestOnTheRealDaemon:
    """LXD refuses changes until the leftovers of the power cut are removed."""

    def test_bridge_with_an_unrecorded_process_is_repaired(self, testbed: LxdTestbed) -> None:
        """It can be changed, and removed."""
        driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
        changed = dataclasses.replace(spec, address="10.79.159.254/24")
        create(testbed, spec)
        testbed.on_host(FORGET)
        driver.update(spec, changed)
        assert changed == driver.read(changed).spec
        testbed.on_host(FORGET)
        driver.delete(changed)
        assert driver.read(changed) is None

    @pytest.mark.long
    def test_bridge_with_an_unknown_dnsmasq_is_repaired(self, testbed: LxdTestbed) -> None:
        """LXD was killed before it noted the process, which holds the address; a removal ends it."""
        driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
        serves = f"ps -C dnsmasq -o args= | grep -c -e --interface={BRIDGE} || true"
        create(testbed, spec)
        testbed.on_host(f": > {NOTE}; systemctl restart lxd; sleep 3")
        driver.update(spec, spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        assert "1" == testbed.on_host(serves).strip()
        testbed.on_host(f": > {NOTE}; systemctl restart lxd; sleep 3")
        driver.delete(spec)
        assert "0" == testbed.on_host(serves).strip()
        assert "" == testbed.on_host(f"nft list ruleset | grep {BRIDGE} || true").strip()

    def test_bridge_that_did_not_start_is_repaired(self, testbed: LxdTestbed) -> None:
        """After the boot it is drift, and an update waits until LXD has started it."""
        driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
        create(testbed, spec)
        testbed.on_host(
            f"{FORGET}; systemctl stop lxd.socket lxd; ip link del {BRIDGE} || true; : > {NOTE}; "
            "systemctl start lxd.socket lxd; sleep 3"
        )
        assert "LXD could not start it" in driver.read(spec).drift
        # The rules of a bridge that is not there are not loaded.
        networks.NetworkDriver(testbed.lxd, lambda _spec: "its masquerade").update(spec, spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        driver.delete(spec)

    def test_half_created_bridge_is_repaired(
        self, testbed: LxdTestbed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LXD starts it after the boot, and neither changes it nor removes it from the kernel."""
        monkeypatch.setattr(networks, "SETTLE_SECONDS", 1)
        driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
        left = (
            f"ip link show {BRIDGE} 2>/dev/null || true; ps -C dnsmasq -o args= | grep {BRIDGE} || true; "
            f"nft list ruleset | grep {BRIDGE} || true; ls -d {HOME}/networks/{BRIDGE} 2>/dev/null || true"
        )
        pending = "".join(
            f"""lxd sql global "UPDATE {table} SET state=0 WHERE {column}=
            (SELECT id FROM networks WHERE name='{BRIDGE}')" >/dev/null\n"""
            for table, column in (("networks_nodes", "network_id"), ("networks", "id"))
        )
        for end in (driver.create, lambda spec: driver.update(spec, spec), driver.delete):
            create(testbed, spec)
            testbed.on_host(f"{pending}systemctl restart lxd; sleep 3")
            assert "never finished" in driver.read(spec).drift
            end(spec)
        assert driver.read(spec) is None
        assert "" == testbed.on_host(left)

    @pytest.mark.parametrize("left", ["nothing", "a folder", "a part"])
    def test_half_created_container_is_repaired(self, lab: LxdTestbed, left: str) -> None:
        """It is made again where it never was ready; it can always be removed."""
        driver, spec = container_driver(lab), server(lab)
        folder = f"{POOL}/containers/{PROJECT}_yuno1"
        remake = {"nothing": "", "a folder": f"mkdir {folder}", "a part": f"mkdir -p {folder}/x/y"}
        lose = f"btrfs subvolume delete {folder} >&2\n{remake[left]}"
        stopped = dataclasses.replace(spec, state="stopped")
        driver.create(stopped)
        first = lab.lxd.get("instances/yuno1", project=PROJECT)
        lab.on_host(lose)
        with pytest.raises(errors.DaemonError):
            driver.create(spec)
        half = {"config": {names.STAGE: names.CREATING}}
        lab.lxd.change("PATCH", "instances/yuno1", half, project=PROJECT)
        driver.create(spec)
        made = lab.lxd.get("instances/yuno1", project=PROJECT)
        assert (first["created_at"] != made["created_at"], "") == (True, driver.read(spec).drift)
        driver.update(spec, stopped)
        lab.on_host(lose)
        driver.delete(spec)
        assert driver.read(spec) is None

    def test_volume_without_its_files_is_repaired(self, lab: LxdTestbed) -> None:
        """It can be removed."""
        spec = volume_model.VolumeSpec(host=lab.url, owner=OWNER, name="data", project=PROJECT)
        driver = volumes.VolumeDriver(lab.lxd)
        driver.create(spec)
        folder = f"{POOL}/custom/{PROJECT}_data"
        lab.on_host(f"btrfs subvolume delete {folder} >&2; mkdir {folder}")
        driver.delete(spec)
        assert driver.read(spec) is None


def test_image_is_on_disk_before_its_alias() -> None:
    lxd = fake.FakeLxd()
    fingerprint = lxd.add_image("standin")
    spec = codec.Spec(host="ssh://fake", owner=OWNER, name="golden")
    aliases.point(lxd, spec, fingerprint, "made")
    assert [["standin"]] == lxd.settled
    assert fingerprint == aliases.target(lxd, "golden")


REFUSED = (
    'Failed setting subvolume writable "{}": Failed to run: btrfs property set -f -ts {} ro false: '
    "exit status 1 (ERROR: Could not get subvolume flags: Invalid argument)"
)


@dataclasses.dataclass
class Home:
    """LXD's folder."""

    path: pathlib.Path

    def mend(self, folder: pathlib.Path, **changes: Any) -> bool:
        """Repair after LXD's refusal about a folder; return whether anything was removed."""
        request = {
            "sockets": ["/nowhere/unix.socket", str(self.path / "unix.socket")],
            "path": "instances/yuno1", "removes": True, "said": REFUSED.format(folder, folder),
        }  # fmt: skip
        return power_cut.main({**request, **changes})


@pytest.fixture
def home(tmp_path: pathlib.Path) -> Home:
    return Home(tmp_path)


def test_named_folder_is_removed_and_its_neighbours_stay(home: Home) -> None:
    folder = home.path / "storage-pools/default/containers/grappe-tara_yuno1"
    (folder / "rootfs").mkdir(parents=True)
    (folder.parent / "grappe-tara_yuno2").mkdir()
    assert home.mend(folder)
    assert ["grappe-tara_yuno2"] == [path.name for path in folder.parent.iterdir()]
    assert not home.mend(folder)


@pytest.mark.parametrize(
    "path", ["containers", "containers/../../../etc/x", "images/abc", "../../outside/containers/x"]
)
def test_folder_of_no_instance_stays(home: Home, path: str) -> None:
    folder = home.path / "storage-pools/default" / path
    for part in (home.path / "storage-pools/default/containers", folder):
        part.mkdir(parents=True, exist_ok=True)
    assert not home.mend(folder)
    assert folder.exists()


def test_folder_stays_without_a_removal(home: Home) -> None:
    folder = home.path / "storage-pools/default/containers/grappe-tara_yuno1"
    folder.mkdir(parents=True)
    assert not home.mend(folder, removes=False)
    assert not home.mend(folder, said="no space left on device")
    assert folder.exists()


def test_link_and_its_target_stay(home: Home, tmp_path: pathlib.Path) -> None:
    folder = home.path / "storage-pools/default/containers/grappe-tara_yuno1"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path)
    assert not home.mend(folder)
    assert folder.is_symlink()


def test_valid_pid_file_stays(home: Home) -> None:
    note = home.path / "networks/gr-1/dnsmasq.pid"
    note.parent.mkdir(parents=True)
    note.write_text("pid: 1")
    said = f"Could not kill: os: {power_cut.NO_PROCESS}"
    assert not home.mend(note, path="networks/gr-1", said=said)
    note.write_text("")
    assert home.mend(note, path="networks/gr-1", said=said)
    assert not note.exists()


def test_folder_of_another_daemon_stays(home: Home, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "another/storage-pools/default/containers/grappe-tara_yuno1"
    folder.mkdir(parents=True)
    assert not home.mend(folder)
    assert folder.exists()


def test_subvolume_stays(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """LXD can remove a subvolume itself."""
    folder = home.path / "storage-pools/default/containers/grappe-tara_yuno1"
    folder.mkdir(parents=True)
    monkeypatch.setattr(power_cut, "_SUBVOLUME", folder.stat().st_ino)
    assert not home.mend(folder)
    assert folder.exists()
