"""A stack of the project, driven by the engine's own commands."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

from core import errors
from hosts import command

SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Stack:
    """A stack.

    Attributes:
        name: Its name.
        folder: The project's folder.
        through: The argv that starts the engine, such as one that enters a namespace.
    """

    name: str
    folder: pathlib.Path
    through: tuple[str, ...] = ()

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run a command of the engine with our own streams: on a terminal, its live tree.

        Args:
            arguments: The command and its arguments.
            env: Variables beside those of this process.

        Raises:
            errors.CommandError: It failed; its output shows why.
        """
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        argv = self._argv(*arguments, "--color", "always" if coloured else "never")
        sys.stdout.flush()
        if command.attach(argv, sys.stdout, {**os.environ, **(env or {})}) != 0:
            raise errors.CommandError(f"`pulumi {arguments[0]} -s {self.name}` failed: see above")

    def start(self, *arguments: str, log: IO[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command of the engine in its own session: the caller passes on a Ctrl-C.

        Args:
            arguments: The command and its arguments.
            log: The file for its output.
            env: Variables beside those of this process.
        """
        argv = self._argv(*arguments, "--color", "never")
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True,
            env={**os.environ, **env}, start_new_session=True,
        )  # fmt: skip

    def make(self) -> None:
        """Make the stack if it is missing.

        Raises:
            errors.CommandError: The engine cannot make it.
        """
        done = command.execute(self._argv("stack", "init"), timeout=SECONDS)
        if not done.ok and "already exists" not in done.stderr:
            raise errors.CommandError(
                f"`pulumi stack init` did not create the stack {self.name}",
                seen=done.tail(),
                do="fix what it reports, then run this again",
            )

    def config(self) -> dict[str, tuple[str, bool]]:
        """Return the configuration, with Pulumi.yaml's: {key: (text, whether secret)}."""
        found = json.loads(self._output("config", "--json", "--show-secrets"))
        return {key: (item.get("value", ""), item["secret"]) for key, item in found.items()}

    def set_secret(self, key: str, value: str) -> None:
        """Set a secret; it travels on standard input, since everybody can see an argv."""
        self._output("config", "set", "--secret", key, stdin=value.encode())

    def set_plain(self, key: str, value: str) -> None:
        """Set a plain value; the comments of the stack file stay."""
        self._output("config", "set", key, value)

    def rename(self, name: str) -> None:
        """Give the stack another name, its file and its state with it."""
        self._output("stack", "rename", name)

    def remove(self) -> None:
        """Remove the stack, which must be down."""
        self._output("stack", "rm", "--yes")

    def outputs(self) -> dict[str, Any]:
        """Return the program's outputs; nothing for a stack that is down."""
        found: dict[str, Any] = json.loads(
            self._output("stack", "output", "--json", "--show-secrets")
        )
        return found

    def export(self) -> dict[str, Any]:
        """Return the state, its secrets as ciphertext."""
        found: dict[str, Any] = json.loads(self._output("stack", "export"))
        return found

    def replace(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        self._output("stack", "import", stdin=json.dumps(state).encode())

    def cancel(self) -> None:
        """Clear the lock of a dead run."""
        self._output("cancel", "--yes")

    def _output(self, *arguments: str, stdin: bytes = b"") -> str:
        failed = f"`pulumi {' '.join(arguments[:2])} -s {self.name}` failed"
        done = command.execute(self._argv(*arguments), stdin=stdin, timeout=SECONDS)
        return done.demand(failed).stdout

    def _argv(self, *arguments: str) -> list[str]:
        return [*self.through, "pulumi", "-C", str(self.folder), *arguments, "-s", self.name]
