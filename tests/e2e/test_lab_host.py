"""A bare server becomes a lab host, and a student's lab stands on it; then it is left."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator

import pytest

from checks.preflight.lab_host import HostPreflightSpec
from cli import sandbox as commands
from components.lab_host import scripts
from engine import install_plugin
from hosts import connections, ssh_settings, url
from hosts.host import Host
from providers.host_preflight.resource import HostPreflightProvider
from sandbox import layout, machine
from sandbox import lifecycle as boxes
from stacks.lab_host import LabHostSpec
from tests.e2e.conftest import Desk, ProjectCopy

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def box() -> Iterator[layout.Layout]:
    """A bare Debian with an empty second disk, for this module alone."""
    made = layout.Layout("grappe-test-bare")
    boxes.down(made)
    commands.bring_up(made, image=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPPE_SANDBOX", made.name)
        patch.setenv("GRAPPE_SSH_CONFIG", str(made.ssh_config))
        yield made
    boxes.down(made)


@pytest.fixture(scope="module")
def spec(box: layout.Layout) -> LabHostSpec:
    """The lab host that it is to be."""
    return LabHostSpec(
        owner="grappe/host", host=box.host_url, daemon="lxd", upgrade=True,
        second_disk=machine.second_disk(box), overwrite=False,
    )  # fmt: skip


def run(host: Host, script: str) -> str:
    return host.run(["sh", "-c", script], timeout=600).stdout


def refusals(spec: LabHostSpec, **changes: object) -> str:
    """Return what the preflight says against a lab host, on the real server."""
    changed = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]
    asked = HostPreflightSpec(
        host=changed.host, owner=changed.owner, name="preflight", daemon=changed.daemon,
        second_disk=changed.second_disk, overwrite=changed.overwrite,
    )  # fmt: skip
    _spec, mistakes = HostPreflightProvider().examine(asked, {})
    return "; ".join(f"{mistake.key} {mistake.reason}" for mistake in mistakes)


def test_unfit_second_disk_is_refused(spec: LabHostSpec, lab_host: Host) -> None:
    """The root disk, one that is not there, one that holds something or is mounted, a small one."""
    assert "" == refusals(spec)
    run(lab_host, "apt-get -q update && apt-get -q -y install btrfs-progs")
    root = run(lab_host, "findmnt -no SOURCE /").strip()
    assert "is the root disk" in refusals(spec, second_disk=root)
    said = refusals(spec, second_disk="/dev/sdz")
    assert f'"/dev/sdz" does not exist. Free disks: {spec.second_disk} (10.0 GiB)' in said
    # Other sandboxes of this machine have loop devices too.
    small = run(lab_host, "truncate -s 64M /root/small; losetup -f --show /root/small").strip()
    try:
        assert "is too small: 0.1 GiB" in refusals(spec, second_disk=small)
    finally:
        run(lab_host, f"losetup -d {small}; rm /root/small")
    run(lab_host, f"mkfs.btrfs -q {spec.second_disk}; udevadm settle")
    # What udev noted of a disk may be older than the disk: lsblk shows no file system then.
    run(lab_host, f"rm -f /run/udev/data/b$(lsblk -dno MAJ:MIN {spec.second_disk} | tr -d ' ')")
    assert not run(lab_host, f"lsblk -dno FSTYPE {spec.second_disk}").strip()
    try:
        assert "holds btrfs. If it may be lost: grappe:overwrite: true" in refusals(spec)
        assert "" == refusals(spec, overwrite=True)
        run(lab_host, f"mount {spec.second_disk} /mnt")
        assert "is mounted on /mnt" in refusals(spec, overwrite=True)
        # The script itself refuses what a preview did not see.
        (disk,) = [step for step in scripts.for_host(spec) if step.name == "disk"]
        done = lab_host.run(["sh", "-c", disk.do], check=False)
        assert "is mounted, or used for swap, and was left alone" in done.stderr
    finally:
        run(lab_host, f"umount /mnt; wipefs -qa {spec.second_disk}")


def test_every_step_runs_twice_without_change(
    spec: LabHostSpec, lab_host: Host, box: layout.Layout
) -> None:
    """In order; then all of it is there, and nobody is locked out."""
    for step in scripts.for_host(spec):
        run(lab_host, step.do)
    before = run(lab_host, "lxc storage list -f csv; ufw status; cat /proc/sys/net/ipv4/ip_forward")
    for step in scripts.for_host(spec):
        run(lab_host, step.do)
    assert before == run(
        lab_host, "lxc storage list -f csv; ufw status; cat /proc/sys/net/ipv4/ip_forward"
    )
    shown = run(lab_host, "btrfs filesystem df /")
    assert shown.count("RAID1") >= 3
    assert "single" not in shown.replace("GlobalReserve, single", "")
    assert "btrfs" in run(lab_host, "lxc storage list -f csv")
    assert "Status: active" in before
    assert "22/tcp" in before
    connections.close_all()
    assert connections.connect(box.host_url).machine_id
    assert "" == refusals(spec)


def test_student_lab_comes_up_on_the_new_host(
    project: ProjectCopy, desk: Desk, box: layout.Layout
) -> None:
    """The whole chain, from a bare machine to two servers that answer."""
    boxes.import_image(box)
    project.write("rosa", 81)
    project.up("rosa")
    assert desk.answers(project.outputs("rosa")["servers"])
    project.up("rosa", "--expect-no-changes")


def test_down_is_refused_while_a_lab_is_up(
    project: ProjectCopy, spec: LabHostSpec, lab_host: Host
) -> None:
    """The undoing refuses, and says what to do first."""
    last = scripts.for_host(spec)[-1]
    done = lab_host.run(["sh", "-c", last.undo], check=False)
    assert not done.ok
    assert "labs are still up on this host" in done.stderr
    said = refusals(spec, daemon="incus")
    assert '"incus" would run beside lxd, which holds 2 instances' in said
    project.destroy("rosa")


def test_instances_of_others_are_left_alone(spec: LabHostSpec, lab_host: Host) -> None:
    """A daemon in use is taken as it is, when the host is made and when it is left."""
    run(lab_host, "lxc init standin theirs </dev/null; lxc profile set default user.mine yes")
    (step,) = [step for step in scripts.for_host(spec) if step.name == "daemon"]
    assert "is in use already, and is taken as it is" in run(lab_host, step.do)
    assert "left: lxc as it is, for it holds instances" in run(lab_host, step.undo)
    assert "theirs" in run(lab_host, "lxc list -f csv")
    run(lab_host, "lxc delete theirs; lxc profile unset default user.mine")


def test_down_undoes_only_the_safe_steps(spec: LabHostSpec, lab_host: Host) -> None:
    """What was not so before is undone; packages and the disk stay, and that is said."""
    said = "".join(run(lab_host, step.undo) for step in reversed(scripts.for_host(spec)))
    for words in ("left: the package haproxy", "left: the package ufw", "mirrors /",
                  "left: the packages"):  # fmt: skip
        assert words in said
    assert "Status: inactive" in run(lab_host, "ufw status")
    assert "" == run(lab_host, "lxc storage list -f csv")
    assert "RAID1" in run(lab_host, "btrfs filesystem df /")
    assert not lab_host.run(["test", "-e", "/var/lib/grappe-host"], check=False).ok


def test_host_stack_works_with_the_real_plugin(
    project: ProjectCopy, box: layout.Layout, spec: LabHostSpec, lab_host: Host
) -> None:
    """Previewed, brought up, nothing to do, and taken down; run on the workstation."""
    if not install_plugin.ensure("pulumi_command"):
        pytest.skip("pulumi-command's plugin is not installed, and cannot be had here")
    # pulumi-command dials by itself: from where the host is reached directly.
    project.host("host", second_disk=spec.second_disk)
    env = {**project.env, "GRAPPE_SSH_CONFIG": str(box.workstation_ssh_config)}

    def pulumi(*words: str) -> str:
        argv = ["ip", "netns", "exec", box.workstation, "pulumi", *words, "-s", "host"]
        done = subprocess.run(
            argv, cwd=project.folder, env=env, capture_output=True, text=True, check=False,
            timeout=300,
        )  # fmt: skip
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    assert "host-firewall" in pulumi("preview")
    pulumi("up", "--yes", "--skip-preview")
    assert "Status: active" in run(lab_host, "ufw status")
    pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    pulumi("destroy", "--yes", "--skip-preview")
    assert "Status: inactive" in run(lab_host, "ufw status")


def test_connection_settings_match_those_of_ssh(
    box: layout.Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ssh_config, keys and known_hosts count for pulumi-command too; a jump host is refused."""
    with pytest.raises(Exception, match="behind another host"):
        ssh_settings.resolve(url.parse(box.host_url))
    monkeypatch.setenv("GRAPPE_SSH_CONFIG", str(box.workstation_ssh_config))
    found = ssh_settings.resolve(url.parse(box.host_url))
    assert (layout.HOST_ADDRESS, 22, "root") == (found.host, found.port, found.user)
    assert found.host_key.startswith("ssh-ed25519 ")
    assert "PRIVATE KEY" in found.private_key
    assert "PRIVATE KEY" not in repr(found)
