"""Fake hosts: a lab host, a workstation and a relay, each a folder with a fake LXD and programs.

The modules of `remote/` run in this process, on fakes that pass the contract suites. A probe
succeeds only if the rule or route and the running container exist.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from core import errors
from core.names import INSTALLED, MAIN_DOMAIN
from hosts import command, url
from providers.fragments import fake as fragments
from providers.lxd import daemon
from providers.lxd import fake as lxd
from providers.lxd.postinstall import services
from providers.tunnel import fake as tunnel_fake
from remote import fragment_store as stores
from remote import transaction, tunnels
from remote.surveys import fragments as held
from remote.surveys import hosts_file, lab, leftovers

HELP = "--domain --password --ignore-dyndns --username --fullname --force-diskspace"


class FakeYunohost(lxd.FakeLxd):
    """A fake LXD that runs no script in a container, but leaves the files that it would write."""

    def execute(
        self,
        instance: str,
        argv: list[str],
        *,
        project: str,
        timeout: float,
        on_output: daemon.OnOutput = daemon.ignore,
    ) -> daemon.Executed:
        """Leave the files of a step or a post-installation; answer `--help` and inspections."""
        del timeout, on_output
        self.meet(f"POST instances/{instance}/exec")
        self.argv.append(argv)
        found = self.instances[project, instance]
        if found["status"] != "Running":
            raise errors.DaemonError("LXD on fake: refused", seen="Instance is not running")
        text = self.files.pop((project, instance, argv[-1]), b"").decode()
        if done := re.search(r'"\$path" tools postinstall .*--domain ([a-z0-9.-]+)', text):
            for path in (INSTALLED, MAIN_DOMAIN):
                self.files[project, instance, path] = done.group(1).encode()
        if made := re.search(r"^\[ -e (\S+) \] && exit 0", text, re.MULTILINE):
            self.files[project, instance, made.group(1)] = b""
        # The inspection of a healthy YunoHost prints nothing.
        inspections = (services.inspection(), services.inspection(start=True))
        return daemon.Executed(0, b"" if argv in inspections else HELP.encode(), b"")


class FakeHost:
    """A fake machine, with its files in a folder.

    Attributes:
        system: Its files and programs.
        lxd: Its LXD.
        peers: The machines that it reaches, by URL.
    """

    def __init__(
        self, text: str, root: pathlib.Path, *, machine_id: str = "", address: str = "192.168.8.10"
    ) -> None:
        self.url, self.parsed_url = text, url.parse(text)
        self.machine_id, self.address = machine_id or f"machine-{text}", address
        self.boot_id = f"boot-{text}"
        self.system, self.lxd = fragments.FakeSystem(root), FakeYunohost()
        self.tunnels = tunnel_fake.FakeTunnelSystem(root)
        self.peers: dict[str, FakeHost] = {text: self}
        name = self.parsed_url.name if self.parsed_url.scheme == "netns" else ""
        self.store = f"/var/lib/grappe-{name}" if name else "/var/lib/grappe"
        self.etc_hosts = f"/etc/netns/{name}/hosts" if name else "/etc/hosts"
        self.root = root

    def run(self, argv: Sequence[str], **_options: Any) -> command.CommandResult:
        """Run nothing; return success without output."""
        return command.CommandResult(tuple(argv), 0, "", "")

    def call(  # noqa: PLR0911 - one case a module
        self, module: str, request: Mapping[str, Any], **_options: Any
    ) -> Any:
        """Run a module of `remote/` in this process, on the fakes."""
        match module:
            case "remote.transaction":
                target = transaction.TARGETS[request["target"]](
                    self.system, request["shared_sections"]
                )
                store = stores.Store(self.system, request["folder"])
                return json.loads(json.dumps(transaction.serve(target, store, dict(request))))
            case "remote.surveys.lab":
                return self._survey(request)
            case "remote.surveys.relay":
                found = held.main(str(self.root) + request["store"])
                return {"fragments": json.loads(json.dumps(found)), "listening": [],
                        "unprivileged": 1024, "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFake",
                        "shut_out": ""}  # fmt: skip
            case "remote.surveys.leftovers":
                return leftovers.main({**request, "root": str(self.root)})
            case "remote.dial":
                return "" if self._running(request["address"]) else "connection refused"
            case "remote.bridge":
                return dict.fromkeys(request["addresses"], "")
            case "remote.surveys.hosts_file":
                path = str(self.root) + request["path"]
                return hosts_file.main({**request, "path": path})
            case "remote.reachability":
                return [self._reach(check) for check in request["checks"]]
            case "remote.tunnels":
                return tunnels.serve(
                    tunnels.Tunnels(self.tunnels, self.tunnels.reach), dict(request)
                )
        raise NotImplementedError(module)

    def prepare(self) -> None:
        """Nothing to start."""

    @property
    def may_be_root(self) -> bool:
        """Everything is root's."""
        return True

    def close(self) -> None:
        """Nothing to end."""

    def _survey(self, request: Mapping[str, Any]) -> dict[str, Any]:
        things = self.lxd
        marked = [
            {"name": name, "project": project, "ephemeral": item["ephemeral"],
             "location": item["location"],
             "config": {k: v for k, v in item["config"].items() if k.startswith("user.grappe.")}}
            for (project, name), item in things.instances.items()
            if project in request["projects"]
        ]  # fmt: skip
        facts = {
            "lxd": {
                "projects": list(things.projects.values()),
                "networks": [{"managed": True, **item} for item in things.networks.values()],
                "aliases": things.aliases, "profiles": ["default"],
                "images": {key: item["properties"] for key, item in things.images.items()},
            },
            "instances": marked,
            "haproxy": "", "listening": [], "subnets": [], "missing": [], "absent": [],
            "fragments": held.main(str(self.root) + self.store),
            "reached": dict.fromkeys(request["urls"], ""),
            "files": {path: self.system.read(path).content for path in lab.FILES},
        }  # fmt: skip
        return dict(json.loads(json.dumps(facts)))

    def _running(self, address: str) -> bool:
        return any(
            item["status"] == "Running"
            and any(device.get("ipv4.address") == address for device in item["devices"].values())
            for item in self.lxd.instances.values()
        )

    def _reach(self, check: Mapping[str, Any]) -> dict[str, Any]:
        """Return whether a check reaches a running server on any of the peers."""
        ways = [host.leads_to(check) for host in self.peers.values() if host.lxd.instances]
        answers = any(address and host._running(address) for address, host in ways)
        return {"ok": answers, "seen": "200 OK" if answers else "ConnectionRefusedError"}

    def leads_to(self, check: Mapping[str, Any]) -> tuple[str, FakeHost]:
        """Return the address to which this lab host forwards a port or a domain, and the host."""
        if check["kind"] in {"ssh", "tcp"}:
            for rule in self.system.chains.get(("nat", "GRAPPE-DNAT"), []):
                match = re.search(r"--dport (\d+) .*--to-destination ([0-9.]+):", rule)
                if match and int(match.group(1)) == check["port"]:
                    return match.group(2), self
            return "", self
        for fragment in held.main(str(self.root) + self.store):
            spec = fragment["spec"]
            if check["domain"] in spec.get("domains", ()) and self.system.running:
                return spec["address"], self
        return "", self


def connected_hosts(
    folder: pathlib.Path, data: pathlib.Path, urls: Sequence[str]
) -> dict[str, FakeHost]:
    """Return fake machines that reach each other, by URL.

    Args:
        folder: Where their files go.
        data: A folder whose `etc` is copied into each machine.
        urls: Their URLs.

    """
    made: dict[str, FakeHost] = {}
    for number, text in enumerate(urls):
        root = folder / f"host{number}"
        shutil.copytree(data / "etc", root / "etc")
        made[text] = FakeHost(text, root, address=f"192.168.8.{10 + number}")
        hosts = root / made[text].etc_hosts[1:]
        hosts.parent.mkdir(parents=True, exist_ok=True)
        if not hosts.exists():
            shutil.copy(root / "etc" / "hosts", hosts)
        made[text].lxd.add_image("standin")
    for host in made.values():
        host.peers = made
    return made
