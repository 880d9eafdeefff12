"""Our own machine, and its network namespaces."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Sequence
from typing import IO

from core import errors
from hosts import command, identity, url


class Local:
    """Our own machine, or one of its network namespaces."""

    def __init__(self, namespace: str = "") -> None:
        self._prefix = ["ip", "netns", "exec", namespace] if namespace else []

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> command.CommandResult:
        """Run argv here."""
        return command.execute([*self._prefix, *argv], stdin=stdin, timeout=timeout)

    def start(self, argv: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start argv here."""
        return command.start([*self._prefix, *argv], log)

    @property
    def alive(self) -> bool:
        """Return true: this machine is always reachable."""
        return True

    def socket(self, path: str, *, sudo: bool) -> str:
        """Return the path itself."""
        del sudo
        return path

    def close(self) -> None:
        """Do nothing."""


def identify(host_url: url.HostUrl, local: Local) -> identity.Identity:
    """Identify the machine behind a local URL; a namespace counts as a machine of its own.

    Raises:
        errors.HostError: The namespace does not exist, or runs no commands.
    """
    done = local.run(["sh", "-c", identity.IDENTIFY], stdin=b"", timeout=10)
    if not done.ok:
        raise errors.HostError(
            f"{host_url} does not answer",
            seen=done.tail(),
            do="./lab sandbox up" if host_url.scheme == "netns" else "",
        )
    machine = identity.read_identity(done.stdout)
    if host_url.scheme == "netns":
        return dataclasses.replace(machine, machine_id=f"{machine.machine_id}/{host_url.name}")
    return machine
