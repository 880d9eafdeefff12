"""The `host` stack: a bare server becomes a lab host with a student's lab, and is undone."""

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
from sandbox import layout, lifecycle, machine
from stacks.lab_host import LabHostSpec
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[layout.Layout]:
    """A bare Debian with an empty second disk, for this module alone."""
    made = layout.Layout("grappe-test-bare")
    lifecycle.down(made)
    commands.bring_up(made, image=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPPE_SANDBOX", made.name)
        patch.setenv("GRAPPE_SSH_CONFIG", str(made.ssh_config))
        yield made
    lifecycle.down(made)


@pytest.fixture(scope="module")
def spec(sandbox: layout.Layout) -> LabHostSpec:
    """The spec of the lab host that the bare server becomes."""
    return LabHostSpec(
        owner="grappe/host", host=sandbox.host_url, daemon="lxd", upgrade=True,
        second_disk=machine.second_disk(sandbox), overwrite=False,
    )  # fmt: skip


def run(host: Host, script: str) -> str:
    return host.run(["sh", "-c", script], timeout=600).stdout


def refusals(spec: LabHostSpec, **changes: object) -> str:
    """Return the preflight's refusals of a changed spec, on the real server."""
    changed = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]
    preflight = HostPreflightSpec(
        host=changed.host, owner=changed.owner, name="preflight", daemon=changed.daemon,
        second_disk=changed.second_disk, overwrite=changed.overwrite,
    )  # fmt: skip
    _spec, mistakes = HostPreflightProvider().examine(preflight, {})
    return "; ".join(f"{mistake.key} {mistake.reason}" for mistake in mistakes)


def test_unfit_second_disk_is_refused(spec: LabHostSpec, lab_host: Host) -> None:
    """The root disk, a missing, a non-empty, a mounted and a small one."""
    assert "" == refusals(spec)
    run(lab_host, "apt-get -q update && apt-get -q -y install btrfs-progs")
    root = run(lab_host, "findmnt -no SOURCE /").strip()
    assert "is the root disk" in refusals(spec, second_disk=root)
    output = refusals(spec, second_disk="/dev/sdz")
    assert f'"/dev/sdz" does not exist. Free disks: {spec.second_disk} (10.0 GiB)' in output
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
    spec: LabHostSpec, lab_host: Host, sandbox: layout.Layout
) -> None:
    """Disk mirror, pool and firewall are set, the second run changes nothing, and SSH works."""
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
    assert connections.connect(sandbox.host_url).machine_id
    assert "" == refusals(spec)


def test_student_lab_comes_up_on_the_new_host(
    project: ProjectCopy, client: Client, sandbox: layout.Layout
) -> None:
    """The whole chain, from a bare machine to two servers that answer."""
    lifecycle.import_image(sandbox)
    project.write("rosa", 81)
    project.up("rosa")
    assert client.reaches(project.outputs("rosa")["servers"])
    project.up("rosa", "--expect-no-changes")


def test_down_is_refused_while_a_lab_is_up(
    project: ProjectCopy, spec: LabHostSpec, lab_host: Host
) -> None:
    """The last step's undo refuses; a second daemon is refused too."""
    last = scripts.for_host(spec)[-1]
    done = lab_host.run(["sh", "-c", last.undo], check=False)
    assert not done.ok
    assert "labs are still up on this host" in done.stderr
    output = refusals(spec, daemon="incus")
    assert '"incus" would run beside lxd, which holds 2 instances' in output
    project.destroy("rosa")


def test_instances_of_others_are_left_alone(spec: LabHostSpec, lab_host: Host) -> None:
    """`do` and `undo` leave a daemon with instances as it is."""
    run(lab_host, "lxc init standin theirs </dev/null; lxc profile set default user.mine yes")
    (step,) = [step for step in scripts.for_host(spec) if step.name == "daemon"]
    assert "is in use already, and is taken as it is" in run(lab_host, step.do)
    assert "left: lxc as it is, for it holds instances" in run(lab_host, step.undo)
    assert "theirs" in run(lab_host, "lxc list -f csv")
    run(lab_host, "lxc delete theirs; lxc profile unset default user.mine")


def test_down_undoes_only_the_safe_steps(spec: LabHostSpec, lab_host: Host) -> None:
    """Firewall, pool and notes are undone; packages and the mirror stay, and the output says so."""
    output = "".join(run(lab_host, step.undo) for step in reversed(scripts.for_host(spec)))
    for words in ("left: the package haproxy", "left: the package ufw", "mirrors /",
                  "left: the packages"):  # fmt: skip
        assert words in output
    assert "Status: inactive" in run(lab_host, "ufw status")
    assert "" == run(lab_host, "lxc storage list -f csv")
    assert "RAID1" in run(lab_host, "btrfs filesystem df /")
    assert not lab_host.run(["test", "-e", "/var/lib/grappe-host"], check=False).ok


def test_host_stack_works_with_the_real_plugin(
    project: ProjectCopy, sandbox: layout.Layout, spec: LabHostSpec, lab_host: Host
) -> None:
    """preview, up, a second up and destroy, run on the workstation."""
    if not install_plugin.ensure("pulumi_command"):
        pytest.skip("pulumi-command's plugin is not installed, and cannot be had here")
    # pulumi-command dials by itself: from where the host is reached directly.
    project.host("host", second_disk=spec.second_disk)
    env = {**project.env, "GRAPPE_SSH_CONFIG": str(sandbox.workstation_ssh_config)}

    def pulumi(*words: str) -> str:
        argv = ["ip", "netns", "exec", sandbox.workstation, "pulumi", *words, "-s", "host"]
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
    sandbox: layout.Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ssh_config, keys and known_hosts count for pulumi-command too; a jump host is refused."""
    with pytest.raises(Exception, match="behind another host"):
        ssh_settings.resolve(url.parse(sandbox.host_url))
    monkeypatch.setenv("GRAPPE_SSH_CONFIG", str(sandbox.workstation_ssh_config))
    found = ssh_settings.resolve(url.parse(sandbox.host_url))
    assert (layout.HOST_ADDRESS, 22, "root") == (found.host, found.port, found.user)
    assert found.host_key.startswith("ssh-ed25519 ")
    assert "PRIVATE KEY" in found.private_key
    assert "PRIVATE KEY" not in repr(found)
