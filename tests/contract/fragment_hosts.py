"""Hosts of the fragments' contract suite: a fake one in a folder, and the sandbox's lab host."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hosts.host import Host
from providers.fragments import client, driver, fake
from providers.haproxy import model as haproxy
from providers.hosts_file import model as hosts_file
from providers.nat import model as nat
from remote import haproxy_maps
from remote.target import Target
from remote.targets import haproxy as haproxy_target
from remote.targets import hosts_file as hosts_target
from remote.targets import nat as nat_target

OWNER, STRANGER = "grappe/contract", "grappe/stranger"
SOCKETS = ("/run/haproxy/grappe.sock", "/run/haproxy/admin.sock", "/run/haproxy-master.sock")
DATA = pathlib.Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of fragment, and the sample of it that the suite uses.

    Attributes:
        folder: Its folder in the store.
        file: The shared file that contains it.
        spec: Its spec's class.
        sample: A spec, but for host, owner and name.
        changed: Another value of one of its fields.
        key: Its exclusive key, as messages name it.
        lines: The file that contains the sample's address, if that is not `file`.
    """

    folder: str
    file: str
    spec: type[Any]
    sample: Mapping[str, Any]
    changed: Mapping[str, Any]
    key: str
    target: type[Target]
    render: Callable[[Any], Any]
    shared_sections: Callable[[], Mapping[str, Any]]
    lines: str = ""

    def make(self, host: str, name: str = "yuno1", owner: str = OWNER, **changes: Any) -> Any:
        """Return a spec."""
        return self.spec(host=host, owner=owner, name=name, **{**self.sample, **changes})


KINDS = {
    "nat": Kind(
        folder="nat", file="/etc/ufw/before.rules", spec=nat.RuleSpec,
        sample={"port": 62222, "target_address": "10.79.159.10", "target_port": 22,
                "comment": "yuno1_ssh"},
        changed={"target_address": "10.79.159.20"}, key="tcp/62222",
        target=nat_target.NatTarget, render=nat.fragment, shared_sections=nat.shared_sections,
    ),
    "haproxy": Kind(
        folder="haproxy", file="/etc/haproxy/haproxy.cfg", spec=haproxy.BackendSpec,
        sample={"domains": ("yuno1.contract.test",), "address": "10.79.159.10"},
        changed={"address": "10.79.159.20"}, key="domain yuno1.contract.test",
        target=haproxy_target.HaproxyTarget, render=haproxy.fragment,
        shared_sections=haproxy.shared_sections, lines=haproxy_maps.ROUTES,
    ),
    "hosts": Kind(
        folder="hosts", file="/etc/hosts", spec=hosts_file.EntrySpec,
        sample={"domains": ("yuno1.contract.test",), "address": "192.168.8.10"},
        changed={"address": "192.168.8.11"}, key="hosts entry yuno1.contract.test",
        target=hosts_target.HostsTarget,
        render=hosts_file.fragment, shared_sections=lambda: hosts_file.shared_sections("/etc/hosts"),
    ),
}  # fmt: skip


class FakeFragmentHost:
    """A host in a folder."""

    url = "ssh://fake"

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root
        shutil.copytree(DATA / "etc", root / "etc")
        for path, mode in (("ufw/before.rules", 0o640), ("ufw/before.init", 0o640)):
            (root / "etc" / path).chmod(mode)
        self.system = fake.FakeSystem(root)

    def driver(self, kind: Kind) -> driver.FragmentDriver[Any]:
        """Return the driver of a kind."""
        folder = f"/var/lib/grappe/{kind.folder}"
        send = fake.sender(self.system, kind.target, folder, kind.shared_sections())
        store = client.Client(self.url, folder, kind.folder, kind.shared_sections(), send)
        return driver.FragmentDriver(store, kind.spec, kind.render)

    def read(self, path: str) -> str:
        """Return a file, or nothing where there is none."""
        file = self._root / path[1:]
        return file.read_text() if file.exists() else ""

    def write(self, path: str, text: str) -> None:
        """Write a file, as a person would."""
        (self._root / path[1:]).write_text(text)

    def remove(self, path: str) -> None:
        """Remove a file."""
        (self._root / path[1:]).unlink()

    def stat(self, path: str) -> str:
        """Return mode and owner of a file."""
        found = (self._root / path[1:]).stat()
        return f"{found.st_mode:o} {found.st_uid} {found.st_gid}"

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return (self._root / path[1:]).exists()

    def unload(self, kind: Kind) -> None:
        """Flush the loaded rules, or stop HAProxy; keep the files."""
        if kind.folder == "nat":
            self.system.chains["nat", "GRAPPE-DNAT"].clear()
        else:
            self.system.running = False

    def forwards(self) -> list[str]:
        """Return the rules of our chain, in their order."""
        return self.system.chains["nat", "GRAPPE-DNAT"]

    def worker(self) -> str:
        """Return what changes with each reload of HAProxy."""
        return str(self.system.reloads)

    def send(self, command: str) -> str:
        """Send a command to HAProxy's run-time socket; return its answer."""
        return self.system.send("/run/haproxy/grappe.sock", command)

    def mute(self) -> None:
        """Make the run-time sockets useless."""
        self.system.mute = True

    def unmute(self) -> None:
        """Give the run-time sockets back."""
        self.system.mute = False

    def live(self) -> str:
        """Return the loaded rules, and whether HAProxy runs."""
        return repr(sorted(self.system.chains.items())) + repr(self.system.running)


class RealFragmentHost:
    """The sandbox's lab host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.url = host.url

    def driver(self, kind: Kind) -> driver.FragmentDriver[Any]:
        """Return the driver of a kind."""
        store = client.open_store(self._host, kind.folder, kind.shared_sections())
        return driver.FragmentDriver(store, kind.spec, kind.render)

    def read(self, path: str) -> str:
        """Return a file, or nothing where there is none."""
        return self._host.run(["cat", path], check=False).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file, as a person would."""
        self._host.run(["dd", f"of={path}", "status=none"], stdin=text.encode())

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._host.run(["rm", path])

    def stat(self, path: str) -> str:
        """Return mode and owner of a file."""
        return self._host.run(["stat", "-c", "%f %u %g", path]).stdout.strip()

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self._host.run(["test", "-e", path], check=False).ok

    def list(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return self._host.run(["ls", path], check=False).stdout.split()

    def run(self, *argv: str) -> None:
        """Run a program there."""
        self._host.run(list(argv))

    def unload(self, kind: Kind) -> None:
        """Flush the loaded rules, or stop HAProxy; keep the files."""
        if kind.folder == "nat":
            self._host.run(["iptables", "-w", "-t", "nat", "-F", "GRAPPE-DNAT"])
        else:
            self._host.run(["systemctl", "stop", "haproxy"])

    def forwards(self) -> list[str]:
        """Return the rules of our chain, in their order."""
        listed = self._host.run(["iptables", "-w", "-t", "nat", "-S", "GRAPPE-DNAT"]).stdout
        return [line for line in listed.splitlines() if line.startswith("-A ")]

    def worker(self) -> str:
        """Return what changes with each reload of HAProxy."""
        script = "pgrep -P $(systemctl show -p MainPID --value haproxy) | sort -n | tail -n 1"
        return self._host.run(["sh", "-c", script]).stdout

    def send(self, command: str) -> str:
        """Send a command to HAProxy's run-time socket; return its answer."""
        script = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5); "
            "s.connect('/run/haproxy/grappe.sock'); s.sendall(sys.argv[1].encode() + b'\\n'); "
            "sys.stdout.write(s.makefile().read())"
        )
        return self._host.run(["python3", "-c", script, command]).stdout

    def mute(self) -> None:
        """Make the run-time sockets useless."""
        script = f"for s in {' '.join(SOCKETS)}; do mv $s $s.away; done"
        self._host.run(["sh", "-c", script])

    def unmute(self) -> None:
        """Give the run-time sockets back: a reload does not, for the new worker is handed them."""
        script = f"for s in {' '.join(SOCKETS)}; do mv $s.away $s; done"
        self._host.run(["sh", "-c", script])

    def live(self) -> str:
        """Return the loaded rules, whether HAProxy runs, and the open ports."""
        script = (
            "iptables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'; "
            "nft list ruleset 2>/dev/null | sed -E 's/packets [0-9]+ bytes [0-9]+//'; "
            "systemctl is-active haproxy; ss -Hltn | awk '{print $4}' | sort"
        )
        return self._host.run(["sh", "-c", script], check=False).stdout


FragmentHost = FakeFragmentHost | RealFragmentHost


@contextlib.contextmanager
def clean(host: FragmentHost) -> Iterator[FragmentHost]:
    """Yield a host; remove the suite's fragments at the end."""
    try:
        yield host
    finally:
        if isinstance(host, RealFragmentHost):
            purge(host)


def purge(host: RealFragmentHost) -> None:
    """Remove every fragment of the suite."""
    for kind in KINDS.values():
        folder = f"/var/lib/grappe/{kind.folder}/fragments"
        for name in host.list(folder):
            held = json.loads(host.read(f"{folder}/{name}"))
            owner, _, short = held["id"].rpartition("/")
            spec = kind.make(host.url, short, owner, lab=held.get("lab", ""))
            host.driver(kind).delete(spec)
