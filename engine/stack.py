"""A stack of the project, by the engine's own commands."""

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
        folder: The project's.
        through: What the engine is started by, as a namespace that it is to run in.
    """

    name: str
    folder: pathlib.Path
    through: tuple[str, ...] = ()

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run a command of the engine with our own streams: on a terminal, its live tree.

        Args:
            arguments: The command and what it takes.
            env: Variables beside those of this process.

        Raises:
            errors.CommandError: It failed, and has said why.

        """
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        argv = self._argv(*arguments, "--color", "always" if coloured else "never")
        sys.stdout.flush()
        if command.attach(argv, sys.stdout, {**os.environ, **(env or {})}) != 0:
            raise errors.CommandError(f"`pulumi {arguments[0]} -s {self.name}` failed, as it says")

    def start(self, *arguments: str, log: IO[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command of the engine by itself: a Ctrl-C is for who started it to hand on.

        Args:
            arguments: The command and what it takes.
            log: Where what it says goes.
            env: Variables beside those of this process.

        """
        argv = self._argv(*arguments, "--color", "never")
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True,
            env={**os.environ, **env}, start_new_session=True,
        )  # fmt: skip

    def make(self) -> None:
        """Make the stack where there is none yet."""
        done = command.execute(self._argv("stack", "init"), timeout=SECONDS)
        if not done.ok and "already exists" not in done.stderr:
            raise errors.CommandError(f"the stack {self.name} was not made", seen=done.tail())

    def config(self) -> dict[str, tuple[str, bool]]:
        """Return the configuration, Pulumi.yaml's among it: {key: (text, whether secret)}."""
        found = json.loads(self._ask("config", "--json", "--show-secrets"))
        return {key: (item.get("value", ""), item["secret"]) for key, item in found.items()}

    def set_secret(self, key: str, value: str) -> None:
        """Set a secret; it travels on standard input, for an argv is everybody's to see."""
        self._ask("config", "set", "--secret", key, stdin=value.encode())

    def set_plain(self, key: str, value: str) -> None:
        """Set what is no secret; the comments of the stack file stay."""
        self._ask("config", "set", key, value)

    def rename(self, name: str) -> None:
        """Give the stack another name, its file and its state with it."""
        self._ask("stack", "rename", name)

    def remove(self) -> None:
        """Remove the stack, which must be down."""
        self._ask("stack", "rm", "--yes")

    def outputs(self) -> dict[str, Any]:
        """Return what the program put out; nothing where the stack is down."""
        found: dict[str, Any] = json.loads(self._ask("stack", "output", "--json", "--show-secrets"))
        return found

    def export(self) -> dict[str, Any]:
        """Return the state, its secrets as ciphertext."""
        found: dict[str, Any] = json.loads(self._ask("stack", "export"))
        return found

    def replace(self, state: dict[str, Any]) -> None:
        """Put another state in the place of this one."""
        self._ask("stack", "import", stdin=json.dumps(state).encode())

    def cancel(self) -> None:
        """Clear the lock of a run that is no more."""
        self._ask("cancel", "--yes")

    def _ask(self, *arguments: str, stdin: bytes = b"") -> str:
        done = command.execute(self._argv(*arguments), stdin=stdin, timeout=SECONDS)
        if not done.ok:
            said = f"`pulumi {' '.join(arguments[:2])} -s {self.name}` failed"
            raise errors.CommandError(said, seen=done.tail())
        return done.stdout

    def _argv(self, *arguments: str) -> list[str]:
        return [*self.through, "pulumi", "-C", str(self.folder), *arguments, "-s", self.name]
