"""The lifecycle of a sandbox: up, down, status, ssh."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shlex
import shutil
from collections.abc import Callable

from components.lab_host import scripts
from core import errors
from hosts import command
from sandbox import images, layout, machine, network

PROC = pathlib.Path("/proc/sys")
HERE = pathlib.Path(__file__).parent
Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Status:
    """The existing parts of a sandbox."""

    name: str
    up: bool
    namespaces: tuple[str, ...]
    host: str
    workstation: str
    relay: str


def up(box: layout.Layout, report: Progress) -> bool:
    """Bring the sandbox up; return whether anything was missing."""
    if status(box).up:
        return False
    if has_fallen(box):
        report("booting from the disks they have, with the labs on them")
        _revive(box)
        return False
    down(box)
    box = dataclasses.replace(box, asked=box.system)
    box.folder.mkdir(parents=True)
    _raise_limits(box)
    box.noted.write_text(box.system.name)
    report("network: lab host, workstation, relay")
    network.up(box)
    report("lab host and relay: booting")
    for each in box.machines:
        machine.prepare(each)
    machine.write_ssh_config(box)
    try:
        machine.start(box, *box.machines)
    except errors.NotReadyError as error:
        report(f"once more: {error.brief}")
        for each in box.machines:
            machine.kill(each)
        _renew(box)
        machine.start(box, *box.machines)
    if box.system.program:
        report("lab host: its daemon and UFW")
        _prepare(box)
    (box.folder / "ready").touch()
    return True


def down(box: layout.Layout) -> None:
    """Take the sandbox down, whatever state it is in, and leave nothing."""
    for each in box.machines:
        machine.kill(each)
    machine.end_strays(box)
    network.down(box)
    _restore_limits(box)
    shutil.rmtree(box.folder, ignore_errors=True)
    for each in box.machines:
        machine.forget(each)
    parent = box.folder.parent
    if parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()


def has_fallen(box: layout.Layout) -> bool:
    """Whether a sandbox is down but has its disks, as after a reboot."""
    ready = (box.folder / "ready").exists() and not status(box).up
    return ready and all(each.disk.exists() for each in box.machines)


def _revive(box: layout.Layout) -> None:
    """Boot the machines of a fallen sandbox from their disks.

    Raises:
        errors.NotReadyError: The machines do not come back.

    """
    for each in box.machines:
        machine.kill(each)
    machine.end_strays(box)
    _renew(box)
    try:
        machine.start(box, *box.machines)
    except errors.NotReadyError as error:
        raise errors.NotReadyError(
            f"the sandbox {box.name} does not come back: {error.brief}",
            seen=error.seen,
            do="./lab sandbox up tries it again; ./lab sandbox down gives it up, labs and all",
        ) from error


def _renew(box: layout.Layout) -> None:
    """Recreate the network; Grappe's store of the workstation's hosts entries stays."""
    kept = network.take_workstation(box)
    network.down(box)
    network.up(box)
    network.give_workstation(box, kept)


def _raise_limits(box: layout.Layout) -> None:
    """Note the kernel's limits from before any sandbox, and raise them for many containers.

    They belong to the machine, so all sandboxes share them. A bare server's host stack raises them
    itself.
    """
    now = {key: (PROC / key).read_text().strip() for key in scripts.LIMITS}
    others = _limits_of_others(box)
    box.limits.write_text(others[0].read_text() if others else json.dumps(now))
    if box.system.program:
        for key, value in scripts.LIMITS.items():
            with contextlib.suppress(OSError):
                (PROC / key).write_text(str(max(value, int(now[key]))))


def _restore_limits(box: layout.Layout) -> None:
    """Restore the kernel's limits, unless another sandbox needs them."""
    if box.limits.exists() and not _limits_of_others(box):
        for key, value in json.loads(box.limits.read_text()).items():
            with contextlib.suppress(OSError):
                (PROC / key).write_text(value)


def _limits_of_others(box: layout.Layout) -> list[pathlib.Path]:
    return [path for path in box.folder.parent.glob(f"*/{box.limits.name}") if path != box.limits]


def restart(box: layout.Layout) -> None:
    """Reboot the lab host: its disk stays, everything live is lost."""
    machine.poweroff(box, box.lab_host)
    for last in (False, True):
        machine.kill(box.lab_host)
        network.renew_host(box)
        try:
            machine.start(box, box.lab_host)
        except errors.NotReadyError:
            # Once in many boots nspawn hangs before its systemd starts.
            if last:
                raise
        else:
            return


def status(box: layout.Layout) -> Status:
    """Return the existing parts, and change nothing."""
    present = network.namespaces() if shutil.which("ip") else set()
    return Status(
        name=box.name,
        up=(box.folder / "ready").exists() and all(map(machine.running, box.machines)),
        namespaces=tuple(name for name in box.namespaces if name in present),
        host=box.host_url,
        workstation=box.workstation_url,
        relay=box.relay_url,
    )


def enter(box: layout.Layout, machine_name: str, argv: list[str]) -> list[str]:
    """Return the argv that runs `argv`, or a shell, on a machine of the sandbox."""
    if not status(box).up:
        raise errors.HostError(f"the sandbox {box.name} is not up", do="./lab sandbox up")
    if machine_name == "workstation":
        return ["ip", "netns", "exec", box.workstation, *(argv or ["bash"])]
    # ssh hands one text to a shell over there: quotes keep the words apart.
    remote = ["--", shlex.join(argv)] if argv else []
    name = {"host": box.host, "relay": box.relay}[machine_name]
    return ["ssh", "-F", str(box.ssh_config), name, *remote]


def import_image(box: layout.Layout, alias: str = layout.IMAGE_ALIAS) -> bool:
    """Give the lab host's LXD the stand-in image; return whether it was missing."""
    # A bare host has the daemon of its host stack.
    program = box.system.program or "lxc"
    if machine.ssh(box, program, "image", "info", alias).ok:
        return False
    folder = images.server_image()
    for name in ("metadata.tar", "rootfs.tar"):
        _must(box, "dd", f"of=/root/{name}", "status=none", stdin=(folder / name).read_bytes())
    _must(box, program, "image", "import", "/root/metadata.tar", "/root/rootfs.tar",
          "--alias", alias)  # fmt: skip
    _must(box, "rm", "/root/metadata.tar", "/root/rootfs.tar")
    return True


def _prepare(box: layout.Layout) -> None:
    _must(box, *box.system.wait)
    preseed = (HERE / "preseed.yaml").read_text().replace("@FOLDER@", box.system.folder)
    _must(box, *box.system.init, stdin=preseed.encode())
    _must(box, "ufw", "allow", "ssh")
    _must(box, "ufw", "--force", "enable")


def _must(box: layout.Layout, *argv: str, stdin: bytes = b"") -> command.CommandResult:
    done = machine.ssh(box, *argv, stdin=stdin, timeout=180)
    if not done.ok:
        raise errors.CommandError(f"`{' '.join(argv)}` failed on {box.host}", seen=done.tail())
    return done


def versions(box: layout.Layout) -> str:
    """Return the versions of the lab host's programs."""
    if not box.system.program:
        return box.system.title
    daemon = {"lxc": "LXD", "incus": "Incus"}[box.system.program]
    script = (
        f". /etc/os-release; echo Debian $VERSION_ID; {box.system.program} version | tail -n 1; "
        "haproxy -v | head -n 1"
    )
    system, version, haproxy, *_rest = machine.ssh(box, script).stdout.splitlines()
    number = version.split()[-1]
    return f"{system}, {daemon} {number}, HAProxy {haproxy.split()[2].split('-')[0]}"
