"""A connected host: run argv there, call our own modules there, reach a socket there.

Everything that Grappe does on a machine goes through `Host`, as root: a login that is not root uses
`sudo -n`.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol

from core import errors
from hosts import command, identity, url, worker

# The messages of shells and of `command.execute` without sudo, and shells' exit status.
_NO_SUDO = re.compile("sudo: (?:command )?not found|sudo is not installed")
NOT_FOUND = 127


class Transport(Protocol):
    """How argv reaches a machine; one for each scheme of a host URL."""

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> command.CommandResult:
        """Run argv on the machine with the login's rights."""

    def start(self, argv: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start argv on the machine, with pipes, its errors into `log`, in a session of its own."""

    @property
    def alive(self) -> bool:
        """Whether the machine is still connected."""

    def socket(self, path: str, *, sudo: bool) -> str:
        """Return a socket on this machine that reaches the socket `path` on that one."""

    def close(self) -> None:
        """End what belongs to this connection."""


class Host:
    """A connected machine."""

    def __init__(
        self, host_url: url.HostUrl, transport: Transport, which: identity.Identity
    ) -> None:
        self.url = str(host_url)
        self.parsed_url = host_url
        self.machine_id, self.boot_id = which.machine_id, which.boot_id
        self.address = which.address
        self._sudo = which.uid != 0
        self._transport = transport
        self._sockets: dict[str, str] = {}
        self._workers: dict[bool, worker.Worker] = {}
        self._lock = threading.Lock()
        self._root_lock = threading.Lock()
        # Whether the login may become root; None until tried.
        self._root: bool | None = None

    @property
    def etc_hosts(self) -> str:
        """The hosts file; a namespace has its own, which `ip netns exec` lays over /etc/hosts."""
        if self.parsed_url.scheme == "netns":
            return f"/etc/netns/{self.parsed_url.name}/hosts"
        return "/etc/hosts"

    @property
    def store(self) -> str:
        """The folder of the fragment store on this host."""
        if self.parsed_url.scheme == "netns":
            return f"/var/lib/grappe-{self.parsed_url.name}"
        return "/var/lib/grappe"

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 60,
        check: bool = True,
        root: bool = True,
    ) -> command.CommandResult:
        """Run argv as root, or as the login itself where `root` is false.

        Raises:
            errors.CommandError: It hangs, or (with `check`) it exited with other than 0.
            errors.HostError: The host stopped answering.
        """
        sudo = root and self._sudo
        full = ["sudo", "-n", "--", *argv] if sudo else list(argv)
        try:
            done = self._transport.run(full, stdin=stdin, timeout=timeout)
        except errors.CommandError as error:
            if sudo and _NO_SUDO.search(error.brief):
                raise self._no_root(error.brief) from error
            raise errors.CommandError(
                f"{self.url}: {error.brief}", seen=error.seen, do=error.do
            ) from error
        refused = done.status == 1 and done.stderr.startswith("sudo: ")
        if sudo and (refused or (done.status == NOT_FOUND and _NO_SUDO.search(done.stderr))):
            raise self._no_root(done.tail())
        if check and not done.ok:
            raise errors.CommandError(
                f"{self.url}: `{' '.join(argv)[:120]}` exited with {done.status}", seen=done.tail()
            )
        return done

    def call(
        self,
        module: str,
        request: Mapping[str, Any],
        *,
        timeout: float = 120,
        root: bool = True,
    ) -> Any:
        """Run `main(request)` of a module of `remote` on the host; return what it returned.

        Raises:
            errors.CommandError: The module raised, or did not end in time.
            errors.HostError: The connection is lost, sudo is refused, or python3 is incomplete.
        """
        sudo = root and self._sudo
        try:
            return self._worker(sudo=sudo).call(module, request, timeout)
        except TimeoutError as error:
            raise errors.CommandError(
                f"{self.url}: {module} did not end within {timeout:g} s",
                do="on the host, top shows what keeps it busy; running this again is safe",
            ) from error
        except worker.EndedError as error:
            raise self._unanswered(module, str(error), sudo=sudo) from error

    def prepare(self) -> None:
        """Start the root worker that `call` uses."""
        self._worker(sudo=self._sudo)

    @property
    def may_be_root(self) -> bool:
        """Whether the login is root, or may become root without a password."""
        with self._root_lock:
            if self._root is None:
                try:
                    if self._sudo:
                        self.run(["true"])
                    self._root = True
                except errors.HostError:
                    self._root = False
            return self._root

    def _unanswered(self, module: str, output: str, *, sudo: bool) -> errors.GrappeError:
        if not self._transport.alive:
            return errors.HostError(f"the connection to {self.url} was lost", seen=output)
        if sudo and (output.startswith("sudo: ") or _NO_SUDO.search(output)):
            return self._no_root(output)
        if re.search("python3.*not found|No module named|exit 127", output):
            # python3-minimal lacks parts of the standard library.
            return errors.HostError(
                f"{self.url} has an incomplete python3",
                seen=output,
                do="there: apt install python3",
            )
        return errors.CommandError(
            f"{self.url}: {module} ended without an answer",
            seen=output,
            do="running it again is safe; if it comes again, please report this message",
        )

    def _worker(self, *, sudo: bool) -> worker.Worker:
        with self._lock:
            ours = self._workers.get(sudo)
            if ours is None or not ours.alive:
                if ours:
                    ours.close()
                argv = ["sudo", "-n", "--", *worker.ARGV] if sudo else worker.ARGV
                try:
                    ours = self._workers[sudo] = worker.Worker(self._transport.start, argv)
                except FileNotFoundError as error:
                    if not sudo:
                        raise
                    raise self._no_root("sudo: not found") from error
            return ours

    def _no_root(self, output: str) -> errors.HostError:
        return errors.HostError(
            f"{self.url}: the login may not become root without a password",
            seen=output,
            do="in sudoers: Defaults !requiretty"
            if "tty" in output
            else "log in as root, or there: apt install sudo, and NOPASSWD in sudoers"
            if _NO_SUDO.search(output)
            else "allow it: NOPASSWD in sudoers, or log in as root",
        )

    def socket(self, path: str) -> str:
        """Return the path of a socket on this machine that reaches `path` on the host.

        Raises:
            errors.HostError: sshd or sudo on the host does not allow it.
        """
        with self._lock:
            if path not in self._sockets:
                self._sockets[path] = self._transport.socket(path, sudo=self._sudo)
            return self._sockets[path]

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            for ours in self._workers.values():
                ours.close()
            self._workers.clear()
        self._transport.close()
