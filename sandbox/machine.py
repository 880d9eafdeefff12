"""The lab host of a sandbox: a real systemd in namespaces, booted and ended."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal

from providers import errors
from providers.hosts import command
from sandbox import layout, recipe

BOOT_SECONDS = 60
HERE = pathlib.Path(__file__).parent


def boot(box: layout.Layout) -> None:
    """Boot a fresh lab host from its image; return when its sshd answers."""
    box.folder.mkdir(parents=True, exist_ok=True)
    done = command.execute(
        ["cp", "--sparse=always", str(recipe.host_disk(box.system)), str(box.disk)], timeout=300
    )
    # Two file systems with one identity cannot be mounted beside each other.
    if done.ok:
        done = command.execute(["btrfstune", "-f", "-u", str(box.disk)], timeout=120)
    if not done.ok:
        raise errors.CommandError("the lab host's disk could not be copied", seen=done.tail())
    _seed(box)
    start(box)


def start(box: layout.Layout) -> None:
    """Start the lab host on the disk it has; return when its sshd answers."""
    command.spawn(
        [
            "ip", "netns", "exec", box.host, "unshare", "-m", "sh", str(HERE / "boot.sh"),
            str(box.disk), str(box.root), box.host, str(box.folder / "seed"),
        ],
        log=str(box.console),
    )  # fmt: skip
    try:
        command.wait_until(
            lambda: _system_state(box) in {"running", "degraded"},
            what="the lab host to boot",
            timeout=BOOT_SECONDS,
        )
    except errors.NotReadyError as error:
        tail = box.console.read_text(errors="replace").splitlines()[-15:]
        raise errors.NotReadyError(str(error), seen="\n".join(tail)) from error


def poweroff(box: layout.Layout) -> None:
    """Shut the lab host down as its own systemd does; end what is left of it."""
    ssh(box, "systemctl", "poweroff")
    try:
        command.wait_until(lambda: not running(box), what="poweroff", timeout=20)
    except errors.NotReadyError:
        kill(box)


def kill(box: layout.Layout) -> None:
    """End every process of the lab host; its mounts and loop device go with them."""
    group = _cgroup(box)
    if group.exists():
        (group / "cgroup.kill").write_text("1")
        command.wait_until(lambda: not running(box), what="the lab host to end", timeout=20)
        for folder in sorted(group.rglob("*/"), reverse=True):
            if folder.is_dir():
                folder.rmdir()
        group.rmdir()


def end_strays(box: layout.Layout) -> None:
    """End what still runs in a namespace of the sandbox."""
    for namespace in box.namespaces:
        for pid in command.execute(["ip", "netns", "pids", namespace]).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def running(box: layout.Layout) -> bool:
    """Whether any process of the lab host is alive."""
    events = _cgroup(box) / "cgroup.events"
    return events.exists() and "populated 1" in events.read_text()


def ssh(
    box: layout.Layout, *argv: str, stdin: bytes = b"", timeout: float = 60
) -> command.CommandResult:
    """Run argv on the lab host as root."""
    return command.execute(
        ["ssh", "-F", str(box.ssh_config), box.host, "--", *argv], stdin=stdin, timeout=timeout
    )


def _system_state(box: layout.Layout) -> str:
    """Ask systemd how far it is; while the host boots, a login may come too early and hang."""
    try:
        return ssh(box, "systemctl", "is-system-running", timeout=5).stdout.strip()
    except errors.CommandError:
        return ""


def _cgroup(box: layout.Layout) -> pathlib.Path:
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _device, folder, kind, *_rest = line.split()
        if kind == "cgroup2":
            return pathlib.Path(folder) / box.host
    raise errors.HostError(
        "this machine has no cgroup2 mount, which a sandbox needs",
        do="mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
    )


def _seed(box: layout.Layout) -> None:
    """Write what boot.sh lays over the fresh disk: host keys that are known before the boot."""
    seed = box.folder / "seed"
    shutil.rmtree(seed, ignore_errors=True)
    keys = seed / "etc" / "ssh"
    keys.mkdir(parents=True)
    done = command.execute(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f",
         str(keys / "ssh_host_ed25519_key")]
    )  # fmt: skip
    if not done.ok:
        raise errors.CommandError("ssh-keygen failed", seen=done.tail())
    for home in ("root", "home/teacher"):
        folder = seed / home / ".ssh"
        folder.mkdir(parents=True, mode=0o700)
        (folder / "authorized_keys").write_text(recipe.authorized_key())
    public = (keys / "ssh_host_ed25519_key.pub").read_text().strip()
    (box.folder / "known_hosts").write_text(f"{layout.HOST_ADDRESS},{box.host} {public}\n")
    # Enter the network namespace alone: a mount namespace would follow the caller's.
    proxy = f"nsenter --net=/run/netns/{box.workstation} socat - TCP:{layout.HOST_ADDRESS}:%p"
    box.ssh_config.write_text(
        f"Host {box.host}\n"
        f"  HostName {layout.HOST_ADDRESS}\n"
        f"  HostKeyAlias {box.host}\n"
        f"  User root\n"
        f"  IdentityFile {layout.key()}\n"
        f"  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {box.folder / 'known_hosts'}\n"
        f"  StrictHostKeyChecking yes\n"
        f"  ProxyCommand {proxy}\n"
        f"  BatchMode yes\n"
        f"  LogLevel ERROR\n"
        # Everything else is as the user's own ssh has it.
        "Match all\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"
    )
