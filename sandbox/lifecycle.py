"""The lifecycle of a sandbox: up, down, status, ssh."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shlex
import shutil
from collections.abc import Callable

from core import errors, kernel_limits
from sandbox import images, machine, network
from sandbox.layout import IMAGE_ALIAS, Layout

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


def up(layout: Layout, report: Progress) -> bool:
    """Bring the sandbox up; return whether it is a new one.

    Raises:
        errors.NotReadyError: A machine does not boot.
    """
    if status(layout).up:
        return False
    if has_fallen(layout):
        report("booting from the disks they have, with the labs on them")
        _revive(layout)
        return False
    down(layout)
    layout = dataclasses.replace(layout, asked=layout.system)
    layout.folder.mkdir(parents=True)
    _raise_limits(layout)
    layout.noted.write_text(layout.system.name)
    report("network: lab host, workstation, relay")
    network.up(layout)
    report("lab host and relay: booting")
    for each in layout.machines:
        machine.prepare(each)
    machine.write_ssh_config(layout)
    try:
        machine.start(layout, *layout.machines)
    except errors.NotReadyError as error:
        report(f"once more: {error.brief}")
        for each in layout.machines:
            machine.kill(each)
        _renew(layout)
        machine.start(layout, *layout.machines)
    if layout.system.program:
        report("lab host: its daemon and UFW")
        _prepare(layout)
    (layout.folder / "ready").touch()
    return True


def down(layout: Layout) -> None:
    """Take the sandbox down, whatever state it is in, and leave nothing."""
    for each in layout.machines:
        machine.kill(each)
    machine.end_strays(layout)
    network.down(layout)
    _restore_limits(layout)
    shutil.rmtree(layout.folder, ignore_errors=True)
    for each in layout.machines:
        machine.forget(each)
    parent = layout.folder.parent
    if parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()


def has_fallen(layout: Layout) -> bool:
    """Whether a sandbox is down but has its disks, as after a reboot."""
    ready = (layout.folder / "ready").exists() and not status(layout).up
    return ready and all(each.disk.exists() for each in layout.machines)


def _revive(layout: Layout) -> None:
    """Boot the machines of a fallen sandbox from their disks.

    Raises:
        errors.NotReadyError: The machines do not come back.
    """
    for each in layout.machines:
        machine.kill(each)
    machine.end_strays(layout)
    _renew(layout)
    try:
        machine.start(layout, *layout.machines)
    except errors.NotReadyError as error:
        raise errors.NotReadyError(
            f"the sandbox {layout.name} does not come back: {error.brief}",
            seen=error.seen,
            do="./lab sandbox up tries it again; ./lab sandbox down gives it up, labs and all",
        ) from error


def _renew(layout: Layout) -> None:
    """Recreate the network; Grappe's store of the workstation's hosts entries stays."""
    kept = network.save_workstation(layout)
    network.down(layout)
    network.up(layout)
    network.restore_workstation(kept)


def _raise_limits(layout: Layout) -> None:
    """Save the kernel's limits before the first sandbox, and raise them for many containers.

    They belong to the machine, so all sandboxes share them. A bare server's host stack raises them
    itself.
    """
    now = {key: (PROC / key).read_text().strip() for key in kernel_limits.LIMITS}
    others = _limits_of_others(layout)
    layout.limits.write_text(others[0].read_text() if others else json.dumps(now))
    if layout.system.program:
        for key, value in kernel_limits.LIMITS.items():
            with contextlib.suppress(OSError):
                (PROC / key).write_text(str(max(value, int(now[key]))))


def _restore_limits(layout: Layout) -> None:
    """Restore the kernel's limits, unless another sandbox needs them."""
    if layout.limits.exists() and not _limits_of_others(layout):
        for key, value in json.loads(layout.limits.read_text()).items():
            with contextlib.suppress(OSError):
                (PROC / key).write_text(value)


def _limits_of_others(layout: Layout) -> list[pathlib.Path]:
    return [
        path
        for path in layout.folder.parent.glob(f"*/{layout.limits.name}")
        if path != layout.limits
    ]


def restart(layout: Layout) -> None:
    """Reboot the lab host: its disk stays, everything live is lost."""
    machine.poweroff(layout, layout.lab_host)
    for last in (False, True):
        machine.kill(layout.lab_host)
        network.renew_host(layout)
        try:
            machine.start(layout, layout.lab_host)
        except errors.NotReadyError:
            # Once in many boots nspawn hangs before its systemd starts.
            if last:
                raise
        else:
            return


def status(layout: Layout) -> Status:
    """Return the existing parts, and change nothing."""
    present = network.namespaces() if shutil.which("ip") else set()
    return Status(
        name=layout.name,
        up=(layout.folder / "ready").exists() and all(map(machine.running, layout.machines)),
        namespaces=tuple(name for name in layout.namespaces if name in present),
        host=layout.host_url,
        workstation=layout.workstation_url,
        relay=layout.relay_url,
    )


def enter(layout: Layout, machine_name: str, argv: list[str]) -> list[str]:
    """Return the argv that runs `argv`, or a shell, on a machine of the sandbox.

    Raises:
        errors.HostError: The sandbox is not up.
    """
    if not status(layout).up:
        raise errors.HostError(f"the sandbox {layout.name} is not up", do="./lab sandbox up")
    if machine_name == "workstation":
        return ["ip", "netns", "exec", layout.workstation, *(argv or ["bash"])]
    # ssh hands one text to a shell over there: quotes keep the words apart.
    remote = ["--", shlex.join(argv)] if argv else []
    name = {"host": layout.host, "relay": layout.relay}[machine_name]
    return ["ssh", "-F", str(layout.ssh_config), name, *remote]


def import_image(layout: Layout) -> bool:
    """Give the lab host's LXD the stand-in image; return whether it was missing."""
    # A bare host has the daemon of its host stack.
    program = layout.system.program or "lxc"
    if machine.ssh(layout, program, "image", "info", IMAGE_ALIAS).ok:
        return False
    folder = images.server_image()
    for name in ("metadata.tar", "rootfs.tar"):
        _must(layout, "dd", f"of=/root/{name}", "status=none", stdin=(folder / name).read_bytes())
    _must(layout, program, "image", "import", "/root/metadata.tar", "/root/rootfs.tar",
          "--alias", IMAGE_ALIAS)  # fmt: skip
    _must(layout, "rm", "/root/metadata.tar", "/root/rootfs.tar")
    return True


def _prepare(layout: Layout) -> None:
    _must(layout, *layout.system.wait)
    preseed = (HERE / "preseed.yaml").read_text().replace("@FOLDER@", layout.system.folder)
    _must(layout, *layout.system.init, stdin=preseed.encode())
    _must(layout, "ufw", "allow", "ssh")
    _must(layout, "ufw", "--force", "enable")


def _must(layout: Layout, *argv: str, stdin: bytes = b"") -> None:
    failed = f"`{' '.join(argv)}` failed on {layout.host}"
    machine.ssh(layout, *argv, stdin=stdin, timeout=180).demand(failed)


def versions(layout: Layout) -> str:
    """Return the versions of the lab host's programs."""
    if not layout.system.program:
        return layout.system.title
    daemon = {"lxc": "LXD", "incus": "Incus"}[layout.system.program]
    script = (
        f". /etc/os-release; echo Debian $VERSION_ID; {layout.system.program} version | tail -n 1; "
        "haproxy -v | head -n 1"
    )
    system, version, haproxy, *_rest = machine.ssh(layout, script).stdout.splitlines()
    number = version.split()[-1]
    return f"{system}, {daemon} {number}, HAProxy {haproxy.split()[2].split('-')[0]}"
