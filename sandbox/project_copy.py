"""A copy of the project with its own state, to try whole stacks in a sandbox."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

from sandbox.layout import IMAGE_ALIAS, Layout

ROOT = pathlib.Path(__file__).parent.parent
FILES = ("Pulumi.yaml", "__main__.py", "lab", "requirements.txt", "recipes")
UP = ("up", "--yes", "--skip-preview")


class ProjectCopy:
    """A copy of the project, its stacks and its state.

    Args:
        folder: An empty folder for it.
        layout: The sandbox of its stacks.
        env: The variables for `pulumi`, as `./lab env` prints them.
    """

    def __init__(self, folder: pathlib.Path, layout: Layout, env: Mapping[str, str]) -> None:
        self.folder, self.layout = folder, layout
        packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
        for part in (*FILES, *sorted(packages)):
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
            **env,
            "PULUMI_CONFIG_PASSPHRASE": "only for this copy",
            "GRAPPE_SANDBOX": layout.name,
        }
        self.env.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        self.stacks: list[str] = []

    def write(self, stack: str, number: int, **settings: Any) -> None:
        """Write a stack file for the sandbox, and make the stack when it is new."""
        values = {
            "host": self.layout.host_url, "workstation": self.layout.workstation_url,
            "number": number, "image": IMAGE_ALIAS, **settings,
        }  # fmt: skip
        self._write_stack(stack, values)

    def image(self, stack: str, **settings: Any) -> None:
        """Write the stack file of an image for the sandbox, and make the stack."""
        self._write_stack(stack, {"kind": "image", "host": self.layout.host_url, **settings})

    def host(self, stack: str, **settings: Any) -> None:
        """Write the stack file of a lab host for the sandbox, and make the stack."""
        self.image(stack, **{"kind": "host", **settings})

    def _write_stack(self, stack: str, values: Mapping[str, Any]) -> None:
        """Write a stack file, whose other sections stay, and make the stack."""
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        kept = yaml.safe_load(path.read_text()) if path.exists() else {}
        config = {f"grappe:{key}": value for key, value in values.items()}
        path.write_text(yaml.safe_dump({**kept, "config": config}))
        if stack not in self.stacks:
            self.stacks.append(stack)
            self.pulumi("stack", "init", stack)

    def pulumi(self, *arguments: str, ok: bool = True) -> str:
        """Run pulumi; return its output."""
        return self.run("pulumi", *arguments, ok=ok)

    def lab(self, *arguments: str, ok: bool = True) -> str:
        """Run ./lab; return its output."""
        return self.run("./lab", *arguments, ok=ok)

    def run(self, *argv: str, ok: bool = True) -> str:
        """Run a command in the project; raise unless it succeeds, or fails, as `ok` says."""
        done = subprocess.run(
            argv, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if (done.returncode == 0) is not ok:
            message = f"{' '.join(argv)}: {done.returncode}\n{done.stdout}"
            raise AssertionError(message)
        return done.stdout

    def up(self, stack: str, *arguments: str, ok: bool = True) -> str:
        """Bring a stack up."""
        return self.pulumi(*UP, "-s", stack, *arguments, ok=ok)

    def start(self, stack: str, log: pathlib.Path) -> subprocess.Popen[bytes]:
        """Start an `up` for a test to disturb, and return its engine."""
        with log.open("wb") as stream:
            return subprocess.Popen(
                ["pulumi", *UP, "-s", stack], cwd=self.folder, env=self.env, stdout=stream,
                stderr=stream, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def destroy(self, stack: str) -> str:
        """Take a stack down."""
        return self.pulumi("destroy", "--yes", "--skip-preview", "-s", stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """Return a stack's outputs."""
        text = self.pulumi("stack", "output", "--json", "-s", stack)
        return dict(json.loads(text))
