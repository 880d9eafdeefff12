"""The namespaces of a sandbox and the links between them.

The workstation and the lab host share the room's network; the lab host and
the relay share a stretch of the internet.
"""

from __future__ import annotations

import pathlib
import shutil

from core import errors
from hosts import command
from sandbox import layout

NETNS_ETC = pathlib.Path("/etc/netns")


def up(box: layout.Layout) -> None:
    """Make the namespaces, their links and the workstation's own files of /etc."""
    for namespace in (box.workstation, box.relay):
        _add(namespace)
    _plug_in(box)
    etc = NETNS_ETC / box.workstation
    (etc / "ssh").mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1\tlocalhost\n192.168.8.20\tworkstation\n")
    (etc / "resolv.conf").write_text("")
    (etc / "ssh" / "ssh_config").write_text(
        f"Host *\n  IdentityFile {layout.key()}\n  StrictHostKeyChecking accept-new\n"
        f"  UserKnownHostsFile {box.folder}/workstation_known_hosts\n"
    )


def renew_host(box: layout.Layout) -> None:
    """Recreate the lab host's namespace, as a reboot does; its neighbours stay."""
    _ip("netns", "delete", box.host)
    for neighbour in (box.workstation, box.relay):
        command.execute(["ip", "-n", neighbour, "link", "delete", "eth0"])
    _plug_in(box)


def down(box: layout.Layout) -> None:
    """Remove whatever exists of the namespaces and the workstation's files."""
    present = namespaces()
    for namespace in box.namespaces:
        if namespace in present:
            _ip("netns", "delete", namespace)
    # The workstation's own /etc, and Grappe's store of its hosts entries.
    for folder in (NETNS_ETC / box.workstation, pathlib.Path(f"/var/lib/grappe-{box.workstation}")):
        shutil.rmtree(folder, ignore_errors=True)
    if NETNS_ETC.is_dir() and not any(NETNS_ETC.iterdir()):
        NETNS_ETC.rmdir()


def take_workstation(box: layout.Layout) -> dict[pathlib.Path, bytes]:
    """Return the workstation's own files: hosts entries, and Grappe's store of them."""
    folders = (NETNS_ETC / box.workstation, pathlib.Path(f"/var/lib/grappe-{box.workstation}"))
    return {
        path: path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def give_workstation(_box: layout.Layout, files: dict[pathlib.Path, bytes]) -> None:
    """Restore the workstation's own files."""
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def namespaces() -> set[str]:
    """Return the named network namespaces of this machine."""
    return {line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()}


def _add(namespace: str) -> None:
    _ip("netns", "add", namespace)
    _ip("-n", namespace, "link", "set", "lo", "up")


def _plug_in(box: layout.Layout) -> None:
    _add(box.host)
    _link(box.host, "eth0", layout.HOST_ADDRESS, box.workstation, layout.WORKSTATION_ADDRESS)
    _link(box.host, "eth1", layout.HOST_OUTER_ADDRESS, box.relay, layout.RELAY_ADDRESS)


def _link(one: str, device: str, address: str, other: str, other_address: str) -> None:
    _ip(
        "-n", one, "link", "add", device, "type", "veth",
        "peer", "name", "eth0", "netns", other,
    )  # fmt: skip
    for namespace, name, ip in ((one, device, address), (other, "eth0", other_address)):
        _ip("-n", namespace, "address", "add", f"{ip}/24", "dev", name)
        _ip("-n", namespace, "link", "set", name, "up")


def _ip(*arguments: str) -> str:
    done = command.execute(["ip", *arguments])
    if not done.ok:
        raise errors.CommandError(f"`ip {' '.join(arguments)}` failed", seen=done.tail())
    return done.stdout
