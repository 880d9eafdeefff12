"""Whole stacks with the real engine, in a copy of the project with a state of its own."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import testinfra
import testinfra.host
import yaml

from cli import environment
from providers.hosts import gateway
from providers.lxd import daemon
from sandbox import layout

ROOT = pathlib.Path(__file__).parent.parent.parent
PARTS = ("Pulumi.yaml", "__main__.py", "lab", "requirements.txt", "cli", "components", "engine",
         "providers", "recipes", "sandbox", "stacks")  # fmt: skip
UP = ("up", "--yes", "--skip-preview")


class Project:
    """A copy of the project, its stacks and its state."""

    def __init__(self, folder: pathlib.Path, box: layout.Layout) -> None:
        self.folder, self.box = folder, box
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "Pulumi.*.yaml")
                shutil.copytree(source, folder / part, ignore=ignore)
            else:
                shutil.copy2(source, folder / part)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        (folder / ".state").mkdir()
        self.env = {
            **os.environ,
            **environment.prepare(lambda _text: None),
            "PULUMI_CONFIG_PASSPHRASE": "only for this test",
            "GRAPPE_SANDBOX": box.name,
        }
        self.env.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.stacks: list[str] = []

    def write(self, stack: str, number: int, **settings: Any) -> None:
        """Write a stack file for the sandbox, and make the stack when it is new."""
        values = {
            "host": self.box.host_url, "workstation": self.box.workstation_url,
            "number": number, "image": layout.IMAGE_ALIAS, **settings,
        }  # fmt: skip
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        kept = yaml.safe_load(path.read_text()) if path.exists() else {}
        config = {f"grappe:{key}": value for key, value in values.items()}
        path.write_text(yaml.safe_dump({**kept, "config": config}))
        if stack not in self.stacks:
            self.stacks.append(stack)
            self.pulumi("stack", "init", stack)

    def image(self, stack: str, **settings: Any) -> None:
        """Write the stack file of an image for the sandbox, and make the stack."""
        values = {"kind": "image", "host": self.box.host_url, **settings}
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        config = {f"grappe:{key}": value for key, value in values.items()}
        path.write_text(yaml.safe_dump({"config": config}))
        if stack not in self.stacks:
            self.stacks.append(stack)
            self.pulumi("stack", "init", stack)

    def pulumi(self, *arguments: str, ok: bool = True) -> str:
        """Run pulumi; return all it said."""
        return self.run("pulumi", *arguments, ok=ok)

    def lab(self, *arguments: str, ok: bool = True) -> str:
        """Run ./lab; return all it said."""
        return self.run("./lab", *arguments, ok=ok)

    def run(self, *argv: str, ok: bool = True) -> str:
        """Run a command in the project; it must succeed, or fail, as told."""
        done = subprocess.run(
            argv, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def up(self, stack: str, *arguments: str, ok: bool = True) -> str:
        """Bring a stack up."""
        return self.pulumi(*UP, "-s", stack, *arguments, ok=ok)

    def destroy(self, stack: str) -> str:
        """Take a stack down."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "-s", stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """Return a stack's outputs."""
        text = self.pulumi("stack", "output", "--json", "-s", stack)
        return dict(json.loads(text))


@pytest.fixture(scope="module")
def project(box: layout.Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose stacks are taken down at the end, whatever became of them."""
    made = Project(tmp_path_factory.mktemp("project"), box)
    yield made
    for stack in made.stacks:
        made.run("./lab", "down", stack)


@pytest.fixture(scope="module")
def host(box: layout.Layout) -> testinfra.host.Host:
    """The lab host, as testinfra sees it."""
    return testinfra.get_host(f"ssh://{box.host}", ssh_config=str(box.ssh_config))


class Desk:
    """The workstation, as a student sits at it."""

    def __init__(self, workstation: gateway.Host) -> None:
        self._host = workstation

    def run(self, *argv: str) -> str:
        """Run a command there; return what it said."""
        return self._host.run(list(argv), timeout=60).stdout

    def get(self, url: str) -> str:
        """Load a page; return which server answered."""
        return self.run("curl", "-sSk", "--max-time", "10", url).partition(":")[0]

    def ssh(self, port: int) -> str:
        """Log in through a forward; return which server answered."""
        address = f"admin@{layout.HOST_ADDRESS}"
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        argv = ("ssh", "-q", *options, "-p", str(port), address, "hostname")
        return self.run(*argv).strip()

    def login(self, user: str, port: int, password: str) -> str:
        """Log in through a forward with a password; return which server answered."""
        # ssh asks a program for the password, which stands in that program's environment alone.
        script = (
            'umask 077; f=$(mktemp); trap "rm $f" EXIT; '
            'printf \'#!/bin/sh\\nprintf %s "$GRAPPE_ASKED"\\n\' > "$f"; chmod 700 "$f"; '
            'read -r GRAPPE_ASKED; export GRAPPE_ASKED SSH_ASKPASS="$f" SSH_ASKPASS_REQUIRE=force; '
            "ssh -q -o PubkeyAuthentication=no -o StrictHostKeyChecking=no -o "
            'UserKnownHostsFile=/dev/null -p "$1" "$2" hostname < /dev/null'
        )
        where = f"{user}@{layout.HOST_ADDRESS}"
        argv = ["sh", "-c", script, "sh", str(port), where]
        done = self._host.run(argv, stdin=f"{password}\n".encode(), timeout=60)
        return done.stdout.strip()

    def answers(self, servers: list[dict[str, Any]]) -> bool:
        """Whether every way to every server leads to that server."""
        return all(
            server["name"] == answer
            for server in servers
            for answer in (self.ssh(server["ssh"]["port"]), *map(self.get, server["urls"]))
        )


@pytest.fixture
def desk(workstation: gateway.Host) -> Desk:
    """The workstation."""
    return Desk(workstation)


def inventory(lab_host: gateway.Host, workstation: gateway.Host) -> dict[str, str]:
    """Return everything on the host that destroying the last student must leave as it was."""
    program = daemon.on(lab_host).program
    lxc = program + " {} list --format csv"
    files = ("/etc/ufw/before.rules /etc/ufw/before.init /etc/ufw/user.rules "
             "/etc/haproxy/haproxy.cfg /etc/hosts")  # fmt: skip
    looks = {
        "files": f"sha256sum {files}; stat -c '%n %a %U:%G' {files}",
        "iptables": "iptables-save | sed 's/\\[[0-9:]*\\]//; /^#/d'",
        "nft": "nft list ruleset 2>/dev/null | sed -E 's/packets [0-9]+ bytes [0-9]+//'",
        "projects": lxc.format("project"), "networks": lxc.format("network"),
        "instances": f"{program} list --all-projects --format csv", "images": lxc.format("image"),
        "profiles": lxc.format("profile"),
        # Without the count of users: LXD keeps an unpacked copy of an image it was asked for once.
        "pools": f"{lxc.format('storage')} | cut -d, -f1-3",
        "units": "systemctl list-unit-files --no-legend; systemctl is-active haproxy ufw",
        "ports": "ss -Hltun | awk '{print $1, $5}' | sort",
        "processes": "ps -eo comm --no-headers | grep -c dnsmasq; true",
        "left": "ls -d /var/lib/grappe* /etc/systemd/system/grappe* 2>&1; true",
    }  # fmt: skip
    found = {
        name: lab_host.run(["sh", "-c", script], check=False).stdout
        for name, script in looks.items()
    }
    hosts = pathlib.Path(workstation.etc_hosts)
    found["workstation"] = f"{hosts.read_text()}{hosts.stat().st_mode:o}"
    return found
