"""LXD's REST API as the drivers use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from core import errors

# The time-out of an operation that LXD runs in the background.
OPERATION_SECONDS = 180.0
# That of one which may copy the whole content of an instance.
COPY_SECONDS = 600.0

Json = dict[str, Any]
# Takes a program's output as it comes.
OnOutput = Callable[[bytes], None]


@dataclasses.dataclass(frozen=True)
class Executed:
    """The exit status and output of a program in an instance."""

    status: int
    stdout: bytes
    stderr: bytes


class AbsentError(errors.GrappeError):
    """LXD reports that the thing does not exist.

    Args:
        thing: Its path in the API, or in an instance.
    """

    def __init__(self, thing: str) -> None:
        super().__init__(f"LXD has no {thing}, or no more", do="run the same again")


def ignore(_output: bytes) -> None:
    """Ignore a piece of output: the caller reads all of it at the end."""


class Daemon(Protocol):
    """The part of LXD's API that the drivers use.

    Paths are those below `/1.0/`; `project` is LXD's project. Every method
    raises `AbsentError` when LXD reports that the thing does not exist, and
    `errors.DaemonError` when LXD refuses, fails or does not answer in time.

    Attributes:
        program: The command that a person types to it.
    """

    @property
    def program(self) -> str:
        """`lxc` or `incus`."""

    def get(self, path: str, *, project: str = "", **query: str) -> Any:
        """Return the metadata of one or more objects."""

    def change(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        project: str = "",
        timeout: float = OPERATION_SECONDS,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Send a change and wait until LXD has finished it; return the operation's metadata."""

    def begin(self, path: str, body: Mapping[str, Any], thing: str) -> None:
        """Send a POST; return as soon as LXD knows `thing`, or has refused.

        `finish` waits for the rest, in this process: another one sees what LXD has made of it.
        """

    def finish(self, thing: str) -> None:
        """Wait until LXD has made what `begin` posted; raise its error if it failed."""

    def unblock(self, thing: str, *, project: str = "") -> bool:
        """Remove what keeps LXD from starting a bridge, or from ending a container's start.

        Return whether there was anything.
        """

    def read_file(self, path: str, *, project: str = "", file: str = "") -> bytes:
        """Return the content of a log or of a file in an instance."""

    def write_file(
        self, path: str, content: bytes, *, headers: Mapping[str, str], project: str, file: str
    ) -> None:
        """Write a file, or make a link, in an instance."""

    def remove_file(self, path: str, *, project: str, file: str) -> None:
        """Remove a file in an instance."""

    def upload_image(self, metadata: str, rootfs: str, *, properties: Mapping[str, str]) -> str:
        """Upload an image's files from this machine; return the fingerprint."""

    def settle(self) -> None:
        """Have the host flush LXD's writes to its disk."""

    def execute(
        self, instance: str, argv: list[str], *, project: str, timeout: float,
        on_output: OnOutput = ignore,
    ) -> Executed:  # fmt: skip
        """Run argv in an instance as root; LXD's operation shows `argv` to everybody."""


def find(lxd: Daemon, path: str, *, project: str = "") -> Json | None:
    """Return the metadata of one object; None where LXD reports that it does not exist."""
    try:
        return dict(lxd.get(path, project=project))
    except AbsentError:
        return None
