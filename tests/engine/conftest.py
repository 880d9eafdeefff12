"""The real engine on fake hosts: whole stacks in a fraction of a second."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from cli import environment
from components import program
from engine import attached
from engine.state import State
from hosts import connections
from providers.lxd import client
from providers.lxd.image import bootstrap
from remote import iptables
from tests import fake_hosts as fake

DATA = pathlib.Path(__file__).parent.parent / "contract" / "data"
LAB, OTHER, WORKSTATION, RELAY = "ssh://lab", "ssh://other", "netns:ws", "ssh://relay"
PASSPHRASE = "only for this test"
# Chains whose rules only accept or translate: their order may differ between runs.
UNORDERED = {iptables.NAT, iptables.LET_IN, iptables.LET_THROUGH}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder `engine`."""
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


# The commands that run a program or call its providers.
WITH_PROGRAM = ("up", "preview", "refresh", "destroy")


def run_attached(
    server: attached.Plugin,
    folder: pathlib.Path,
    *arguments: str,
    env: Mapping[str, str],
    rebuild: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the engine with this process behind it; return its output."""
    attach = server.begin(arguments[0], rebuild) if arguments[0] in WITH_PROGRAM else ()
    return subprocess.run(
        ["pulumi", "-C", str(folder), *arguments, *attach], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        env={**os.environ, **env, **server.environment},
    )  # fmt: skip


class Engine:
    """A project of stacks on fake hosts, run by the real engine.

    Attributes:
        hosts: The fakes, by URL.
        output: Output of the last command.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        server: attached.Plugin,
        hosts: dict[str, fake.FakeHost],
        passphrase: str = PASSPHRASE,
    ) -> None:
        self.folder, self._server, self.hosts = folder, server, hosts
        self.output = ""
        self.project = folder / "project"
        (self.project / "stacks").mkdir(parents=True)
        (self.project / ".state").mkdir()
        source = yaml.safe_load((environment.ROOT / "Pulumi.yaml").read_text())
        source["runtime"] = "python"
        (self.project / "Pulumi.yaml").write_text(yaml.safe_dump(source))
        self.env = {"PULUMI_CONFIG_PASSPHRASE": passphrase, "PULUMI_SKIP_UPDATE_CHECK": "true",
                    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}  # fmt: skip

    def write(self, stack: str, **settings: Any) -> None:
        """Write a stack file; make the stack when it is new."""
        path = self.project / "stacks" / f"Pulumi.{stack}.yaml"
        kept = yaml.safe_load(path.read_text()) if path.exists() else {}
        defaults = {"host": LAB, "workstation": WORKSTATION, "image": "standin", "number": 1}
        values = (
            settings if settings.get("kind", "student") != "student" else {**defaults, **settings}
        )
        values = {key: value for key, value in values.items() if value is not None}
        config = {f"grappe:{key}": value for key, value in values.items()}
        secret = {key: value for key, value in (kept.get("config") or {}).items()
                  if isinstance(value, dict) and "secure" in value}  # fmt: skip
        path.write_text(yaml.safe_dump({**kept, "config": {**config, **secret}}))
        if not kept:
            self.pulumi("stack", "init", stack)

    def pulumi(
        self,
        *arguments: str,
        ok: bool | None = True,
        env: dict[str, str] | None = None,
        rebuild: str | None = None,
    ) -> str:
        """Run a command of the engine; assert that it succeeds iff `ok`, unless that is None.

        `rebuild` is as `./lab up` passes it.
        """
        done = run_attached(
            self._server, self.project, *arguments, env={**self.env, **(env or {})}, rebuild=rebuild
        )
        self.output = done.stdout
        assert ok is None or (done.returncode == 0) is ok, (
            f"{arguments}: {done.returncode}\n{done.stdout}"
        )
        return done.stdout

    def record_requests(self, url: str) -> None:
        """Record in `requests` every later request that changes the LXD of a host."""
        self.requests: list[str] = []
        lxd = self.hosts[url].lxd
        meet = lxd.meet

        def note(request: str) -> None:
            if not request.startswith("GET"):
                self.requests.append(request)
            meet(request)

        lxd.meet = note  # type: ignore[method-assign]

    def up(self, stack: str, *arguments: str, **options: Any) -> str:
        """Bring a stack up."""
        return self.pulumi("up", "--yes", "--skip-preview", "-s", stack, *arguments, **options)

    def assert_unchanged(self, stack: str) -> None:
        """Assert that another `up` of a stack has nothing to do."""
        self.up(stack, "--expect-no-changes")

    def destroy(self, stack: str, *arguments: str, **options: Any) -> str:
        """Take a stack down."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "-s", stack, *arguments, **options)

    def urn(self, stack: str, name: str) -> str:
        """Return the URN of a resource by its logical name."""
        for item in State(self.project / ".state", "grappe", stack).resources():
            if item["urn"].rpartition("::")[2] == name and "pulumi-python" in item["type"]:
                return str(item["urn"])
        raise KeyError(name)

    def state(self, stack: str) -> dict[str, Any]:
        """Return a stack's state."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "export", "-s", stack))
        return found

    def load(self, stack: str, state: dict[str, Any]) -> None:
        """Replace a stack's state."""
        path = self.folder / "import.json"
        path.write_text(json.dumps(state))
        self.pulumi("stack", "import", "-s", stack, "--file", str(path), "--force")

    def inventory(self) -> str:
        """Return everything that destroying the last stack must leave as it was."""
        found: dict[str, Any] = {}
        for text, host in self.hosts.items():
            things = host.lxd
            found[text] = {
                "lxd": [sorted(map(str, each)) for each in
                        (things.projects, things.networks, things.instances, things.images,
                         things.aliases, things.volumes, things.snapshots)],
                "files": {str(path.relative_to(host.root)): path.read_text()
                          for path in sorted(host.root.rglob("*"))
                          if path.is_file() and not {"previous", "maps", "index"} & set(path.parts)},
                "chains": sorted((str(key), sorted(rules) if set(key) & UNORDERED else rules)
                                 for key, rules in host.system.chains.items()),
                "users": sorted(host.system.users | host.tunnels.users),
                "units": sorted(host.tunnels.active | host.tunnels.enabled),
            }  # fmt: skip
        return json.dumps(found, indent=1)


@contextlib.contextmanager
def running(
    folder: pathlib.Path, hosts: dict[str, fake.FakeHost], passphrase: str = PASSPHRASE
) -> Iterator[Engine]:
    """Yield the real engine, attached to this process, on fake hosts."""
    environment.apply()
    with pytest.MonkeyPatch.context() as patch, attached.serve(program.run, "grappe") as server:
        made = Engine(folder, server, hosts, passphrase)
        patch.setattr(connections, "connect", lambda text: made.hosts[text])
        patch.setattr(connections, "prepare", lambda _text: None)
        patch.setattr(connections, "connect_ahead", lambda _text: None)
        patch.setattr(client, "on", lambda host: host.lxd)
        patch.setattr(client, "connect_ahead", lambda _url: None)
        patch.setattr(program, "FOLDER", made.project / "stacks")
        image = folder / "image"
        image.mkdir()
        for name in ("metadata", "rootfs"):
            (image / name).write_text(name)
        parts = (str(image / "metadata"), str(image / "rootfs"))
        patch.setattr(bootstrap, "files", lambda _spec: parts)
        yield made


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The real engine on fake hosts: two lab hosts, a workstation and a relay."""
    folder = tmp_path_factory.mktemp("engine")
    hosts = fake.connected_hosts(folder / "hosts", DATA, (LAB, WORKSTATION, RELAY, OTHER))
    with running(folder, hosts) as made:
        yield made
