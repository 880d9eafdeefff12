"""The namespaces of a sandbox and the links between them.

The workstation and the lab host share the classroom's network; the lab host and
the relay share a network that stands for the internet.
"""

from __future__ import annotations

import pathlib
import shutil

from hosts import command
from sandbox.layout import (
    HOST_ADDRESS,
    HOST_OUTER_ADDRESS,
    RELAY_ADDRESS,
    WORKSTATION_ADDRESS,
    Layout,
    private_key,
)

NETNS_ETC = pathlib.Path("/etc/netns")


def up(layout: Layout) -> None:
    """Make the namespaces, their links and the workstation's own files of /etc."""
    for namespace in (layout.workstation, layout.relay):
        _add(namespace)
    _plug_in(layout)
    etc = NETNS_ETC / layout.workstation
    (etc / "ssh").mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1\tlocalhost\n192.168.8.20\tworkstation\n")
    (etc / "resolv.conf").write_text("")
    (etc / "ssh" / "ssh_config").write_text(
        f"Host *\n  IdentityFile {private_key()}\n  StrictHostKeyChecking accept-new\n"
        f"  UserKnownHostsFile {layout.folder}/workstation_known_hosts\n"
    )


def renew_host(layout: Layout) -> None:
    """Recreate the lab host's namespace, as a reboot does; its neighbours stay."""
    _ip("netns", "delete", layout.host)
    for neighbour in (layout.workstation, layout.relay):
        command.execute(["ip", "-n", neighbour, "link", "delete", "eth0"])
    _plug_in(layout)


def down(layout: Layout) -> None:
    """Remove whatever exists of the namespaces and the workstation's files."""
    present = namespaces()
    for namespace in layout.namespaces:
        if namespace in present:
            _ip("netns", "delete", namespace)
    for folder in _workstation_folders(layout):
        shutil.rmtree(folder, ignore_errors=True)
    if NETNS_ETC.is_dir() and not any(NETNS_ETC.iterdir()):
        NETNS_ETC.rmdir()


def save_workstation(layout: Layout) -> dict[pathlib.Path, bytes]:
    """Return the workstation's own files: hosts entries, and Grappe's store of them."""
    return {
        path: path.read_bytes()
        for folder in _workstation_folders(layout)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _workstation_folders(layout: Layout) -> tuple[pathlib.Path, pathlib.Path]:
    """Return the workstation's own /etc, and Grappe's store of its hosts entries."""
    return NETNS_ETC / layout.workstation, pathlib.Path(f"/var/lib/grappe-{layout.workstation}")


def restore_workstation(files: dict[pathlib.Path, bytes]) -> None:
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


def _plug_in(layout: Layout) -> None:
    _add(layout.host)
    _link(layout.host, "eth0", HOST_ADDRESS, layout.workstation, WORKSTATION_ADDRESS)
    _link(layout.host, "eth1", HOST_OUTER_ADDRESS, layout.relay, RELAY_ADDRESS)


def _link(namespace: str, device: str, address: str, peer: str, peer_address: str) -> None:
    _ip(
        "-n", namespace, "link", "add", device, "type", "veth",
        "peer", "name", "eth0", "netns", peer,
    )  # fmt: skip
    for end, name, ip in ((namespace, device, address), (peer, "eth0", peer_address)):
        _ip("-n", end, "address", "add", f"{ip}/24", "dev", name)
        _ip("-n", end, "link", "set", name, "up")


def _ip(*arguments: str) -> str:
    return command.execute(["ip", *arguments]).demand(f"`ip {' '.join(arguments)}` failed").stdout
