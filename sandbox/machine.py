"""Boot and stop a sandbox's machines, each a real systemd in namespaces."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pathlib
import shutil
import signal

from core import errors
from hosts import command
from sandbox import images
from sandbox.layout import Layout, Machine, private_key

BOOT_SECONDS = 60
NSPAWN = pathlib.Path("/run/systemd/nspawn")
SECOND_DISK_SIZE = "10G"
HERE = pathlib.Path(__file__).parent


def prepare(machine: Machine) -> None:
    """Give a machine a fresh disk from its system's image, with host keys of its own."""
    machine.folder.mkdir(parents=True, exist_ok=True)
    image, disk = images.disk(machine.system), str(machine.disk)
    failed = f"{machine.name}: its disk could not be copied"
    command.execute(["cp", "--sparse=always", str(image), disk], timeout=300).demand(failed)
    # btrfs cannot mount two file systems with the same UUID.
    command.execute(["btrfstune", "-f", "-u", disk], timeout=120).demand(failed)
    if machine.system.offline:
        second = str(machine.second_disk)
        command.execute(["truncate", "--size", SECOND_DISK_SIZE, second]).demand(failed)
    _seed(machine)


def start(layout: Layout, *machines: Machine) -> None:
    """Start machines on their disks; return when systemd has booted on each.

    Raises:
        errors.NotReadyError: One does not boot; shows the end of its console.
    """
    for machine in machines:
        second = str(machine.second_disk) if machine.second_disk.exists() else ""
        command.spawn(
            [
                "ip", "netns", "exec", machine.name, "unshare", "-m", "sh", str(HERE / "boot.sh"),
                str(machine.disk), str(machine.root), machine.name, str(machine.seed),
                machine.hostname, second,
            ],
            log=str(machine.console),
        )  # fmt: skip
    for machine in machines:
        try:
            command.wait_until(
                functools.partial(_is_up, layout, machine.name),
                what=f"{machine.name} to boot",
                timeout=BOOT_SECONDS,
            )
        except errors.NotReadyError as error:
            tail = machine.console.read_text(errors="replace").splitlines()[-15:]
            raise errors.NotReadyError(str(error), seen="\n".join(tail)) from error


def poweroff(layout: Layout, machine: Machine) -> None:
    """Shut a machine down by its own systemd; kill what remains."""
    ssh(layout, "systemctl", "poweroff", machine=machine)
    try:
        command.wait_until(lambda: not running(machine), what="poweroff", timeout=20)
    except errors.NotReadyError:
        kill(machine)


def kill(machine: Machine) -> None:
    """Kill every process of a machine, which frees its mounts and loop devices."""
    group = _cgroup(machine)
    if group.exists():
        (group / "cgroup.kill").write_text("1")
        command.wait_until(lambda: not running(machine), what=f"{machine.name} to end", timeout=20)
        for folder in sorted(group.rglob("*/"), reverse=True):
            if folder.is_dir():
                folder.rmdir()
        group.rmdir()
    for device in _loops(machine.second_disk):
        command.execute(["losetup", "--detach", device])


def freeze(machine: Machine, *, frozen: bool) -> None:
    """Freeze or thaw every process of a machine."""
    (_cgroup(machine) / "cgroup.freeze").write_text(str(int(frozen)))
    events = _cgroup(machine) / "cgroup.events"
    command.wait_until(
        lambda: f"frozen {int(frozen)}" in events.read_text(), what=machine.name, timeout=20
    )


def forget(machine: Machine) -> None:
    """Remove nspawn's leftovers of a machine in /run, and its empty folders."""
    folder = NSPAWN / "propagate" / machine.name
    if folder.is_dir():
        folder.rmdir()
    for lock in (NSPAWN / "locks").glob("inode-*"):
        # Remove a lock file that no process holds.
        with lock.open("r+") as held, contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.unlink()
    for empty in (NSPAWN / "propagate", NSPAWN / "locks", NSPAWN):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def second_disk(layout: Layout) -> str:
    """Return the device of a bare lab host's second disk.

    Raises:
        errors.HostError: It has none.
    """
    loops = _loops(layout.lab_host.second_disk)
    if not loops:
        raise errors.HostError(f"{layout.host} has no second disk")
    return loops[0]


def end_strays(layout: Layout) -> None:
    """Kill processes that still run in a namespace of the sandbox."""
    for namespace in layout.namespaces:
        for pid in command.execute(["ip", "netns", "pids", namespace]).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def running(machine: Machine) -> bool:
    """Whether any process of a machine is alive."""
    events = _cgroup(machine) / "cgroup.events"
    return events.exists() and "populated 1" in events.read_text()


def ssh(
    layout: Layout,
    *argv: str,
    stdin: bytes = b"",
    timeout: float = 60,
    machine: Machine | None = None,
) -> command.CommandResult:
    """Run argv as root, by default on the lab host."""
    name = (machine or layout.lab_host).name
    return command.execute(
        ["ssh", "-F", str(layout.ssh_config), name, "--", *argv], stdin=stdin, timeout=timeout
    )


def write_ssh_config(layout: Layout) -> None:
    """Write the ssh_configs for a plain `ssh` from this machine and from the workstation."""
    hosts = []
    known = []
    for machine in layout.machines:
        public = (machine.seed / "etc" / "ssh" / "ssh_host_ed25519_key.pub").read_text().strip()
        known.append(f"{machine.address},{machine.name} {public}\n")
        # Enter only the network namespace: a new mount namespace would derive from the caller's.
        proxy = f"nsenter --net=/run/netns/{machine.near} socat - TCP:{machine.address}:%p"
        hosts.append(
            f"Host {machine.name}\n"
            f"  HostName {machine.address}\n"
            f"  HostKeyAlias {machine.name}\n"
            f"  User root\n"
            f"  IdentityFile {private_key()}\n"
            f"  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {layout.folder / 'known_hosts'}\n"
            f"  StrictHostKeyChecking yes\n"
            f"  ProxyCommand {proxy}\n"
            f"  BatchMode yes\n"
            f"  LogLevel ERROR\n"
        )
    (layout.folder / "known_hosts").write_text("".join(known))
    # The user's own ssh configuration applies to all other hosts.
    rest = "Match all\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"
    text = "".join(hosts) + rest
    layout.ssh_config.write_text(text)
    direct = [line for line in text.splitlines(keepends=True) if "ProxyCommand" not in line]
    layout.workstation_ssh_config.write_text("".join(direct))


def _is_up(layout: Layout, name: str) -> bool:
    """Return whether systemd has booted; during the boot, an early login may hang."""
    argv = ["ssh", "-F", str(layout.ssh_config), name, "--", "systemctl", "is-system-running"]
    try:
        return command.execute(argv, timeout=5).stdout.strip() in {"running", "degraded"}
    except errors.CommandError:
        return False


def _loops(file: pathlib.Path) -> list[str]:
    """Return the loop devices of a file."""
    if not file.exists():
        return []
    done = command.execute(["losetup", "--associated", str(file), "--noheadings", "-O", "NAME"])
    return done.stdout.split()


def _cgroup(machine: Machine) -> pathlib.Path:
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _device, folder, kind, *_rest = line.split()
        if kind == "cgroup2":
            return pathlib.Path(folder) / machine.name
    raise errors.HostError(
        "this machine has no cgroup2 mount, which a sandbox needs",
        do="mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
    )


def _seed(machine: Machine) -> None:
    """Write the files that boot.sh puts onto the fresh disk: host keys known before the boot."""
    seed = machine.seed
    shutil.rmtree(seed, ignore_errors=True)
    keys = seed / "etc" / "ssh"
    keys.mkdir(parents=True)
    (seed / "etc" / "hostname").write_text(f"{machine.hostname}\n")
    (seed / "etc" / "hosts").write_text(f"127.0.0.1\tlocalhost {machine.hostname}\n")
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
    command.execute([*argv, str(keys / "ssh_host_ed25519_key")]).demand("ssh-keygen failed")
    for home in ("root", "home/teacher"):
        folder = seed / home / ".ssh"
        folder.mkdir(parents=True, mode=0o700)
        (folder / "authorized_keys").write_text(images.authorized_key())
