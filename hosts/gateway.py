"""The gateway to a host: run argv there, reach a socket there.

One `Host` serves a whole process. Everything that Grappe does on a machine
goes through `Host.run`, as root: a user who is not root works through
`sudo -n`.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from typing import IO, Any, Protocol

from core import errors
from hosts import command, url, worker


class Transport(Protocol):
    """How argv reaches a machine; one for each scheme of a host URL."""

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> command.CommandResult:
        """Run argv on the machine with the rights that the login has."""

    def start(self, argv: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start argv on the machine, with pipes, its errors into `log`, in a session of its own."""

    @property
    def alive(self) -> bool:
        """Whether the machine is still connected."""

    def socket(self, path: str, *, sudo: bool) -> str:
        """Return a socket of this machine that reaches the socket `path` of that one."""

    def close(self) -> None:
        """End what belongs to this connection."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a login tells of a machine, in one round trip.

    Attributes:
        uid: The user id of the login.
        machine_id: The content of /etc/machine-id.
        address: The address at which the machine was reached, or its own choice.
    """

    uid: int
    machine_id: str
    address: str


class Host:
    """A machine that answered."""

    def __init__(self, where: url.HostUrl, transport: Transport, identity: Identity) -> None:
        self.url = str(where)
        self.where = where
        self.machine_id = identity.machine_id
        self.address = identity.address
        self._sudo = identity.uid != 0
        self._transport = transport
        self._sockets: dict[str, str] = {}
        self._workers: dict[bool, worker.Worker] = {}
        self._lock = threading.Lock()
        self._root_lock = threading.Lock()
        # Whether the login may be root, once it was tried.
        self._root: bool | None = None

    @property
    def etc_hosts(self) -> str:
        """The hosts file; a namespace has its own, which `ip netns exec` lays over /etc/hosts."""
        if self.where.scheme == "netns":
            return f"/etc/netns/{self.where.name}/hosts"
        return "/etc/hosts"

    @property
    def store(self) -> str:
        """The folder of the fragment store on this host."""
        if self.where.scheme == "netns":
            return f"/var/lib/grappe-{self.where.name}"
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
        """Run argv, as root unless told that the login itself will do.

        Raises:
            errors.CommandError: It exited with other than 0 (and `check`), or hangs.
            errors.HostError: The host stopped answering.

        """
        sudo = root and self._sudo
        full = ["sudo", "-n", "--", *argv] if sudo else list(argv)
        try:
            done = self._transport.run(full, stdin=stdin, timeout=timeout)
        except errors.CommandError as error:
            raise errors.CommandError(
                f"{self.url}: {error.brief}", seen=error.seen, do=error.do
            ) from error
        if sudo and done.status == 1 and done.stderr.startswith("sudo: "):
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
        """Run `main(request)` of a module of `remote` on the host; return what it returned."""
        sudo = root and self._sudo
        try:
            return self._worker(sudo=sudo).ask(module, request, timeout)
        except TimeoutError as error:
            raise errors.CommandError(
                f"{self.url}: {module} did not end within {timeout:g} s"
            ) from error
        except worker.EndedError as error:
            raise self._unanswered(module, str(error), sudo=sudo) from error

    def prepare(self) -> None:
        """Start what `call` is to ask, as root."""
        self._worker(sudo=self._sudo)

    @property
    def may_be_root(self) -> bool:
        """Whether the login is root, or may become root without a password."""
        with self._root_lock:
            if self._root is None:
                try:
                    self._demand_root()
                    self._root = True
                except errors.HostError:
                    self._root = False
            return self._root

    def _demand_root(self) -> None:
        if self._sudo:
            self.run(["true"])

    def _unanswered(self, module: str, seen: str, *, sudo: bool) -> errors.GrappeError:
        if not self._transport.alive:
            return errors.HostError(f"the connection to {self.url} was lost", seen=seen)
        if re.search("python3.*not found|No module named|exit 127", seen):
            # A python3-minimal has not the whole standard library.
            return errors.HostError(
                f"{self.url} has no whole python3", seen=seen, do="there: apt install python3"
            )
        if sudo and seen.startswith("sudo: "):
            return self._no_root(seen)
        return errors.CommandError(f"{self.url}: {module} ended without an answer", seen=seen)

    def _worker(self, *, sudo: bool) -> worker.Worker:
        with self._lock:
            ours = self._workers.get(sudo)
            if ours is None or not ours.alive:
                if ours:
                    ours.close()
                argv = ["sudo", "-n", "--", *worker.ARGV] if sudo else worker.ARGV
                ours = self._workers[sudo] = worker.Worker(self._transport.start, argv)
            return ours

    def _no_root(self, seen: str) -> errors.HostError:
        return errors.HostError(
            f"{self.url}: the login may not become root without a password",
            seen=seen,
            do="allow it: NOPASSWD in sudoers, or log in as root",
        )

    def socket(self, path: str) -> str:
        """Return the path of a socket on this machine that reaches `path` on the host."""
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
        """Always: it is this machine."""
        return True

    def socket(self, path: str, *, sudo: bool) -> str:
        """Return the path itself; it is this machine's."""
        del sudo
        return path

    def close(self) -> None:
        """Nothing to end."""


# A host that is being connected to has an outcome to come, for all who ask for it.
_hosts: dict[str, futures.Future[Host]] = {}
_guard = threading.Lock()


def connect(text: str) -> Host:
    """Return the host at a URL, connected once in a process.

    Raises:
        errors.HostError: It does not answer, or refuses us; says which and what to do.

    """
    with _guard:
        first = text not in _hosts
        outcome = _hosts.setdefault(text, futures.Future())
    if first:
        try:
            outcome.set_result(_open(url.parse(text)))
        except BaseException as error:  # noqa: BLE001 - told to all who wait, now
            # Who comes later tries again.
            with _guard:
                if _hosts.get(text) is outcome:
                    del _hosts[text]
            outcome.set_exception(error)
    return outcome.result()


def prepare(text: str) -> None:
    """Begin to connect, and have a python there, while this process has other things to do."""

    def act() -> None:
        # Whatever is wrong is told by who connects.
        with contextlib.suppress(Exception):
            connect(text).prepare()

    threading.Thread(target=act, daemon=True).start()


def connect_ahead(text: str) -> None:
    """Begin to connect to a host that another process of this run is to use."""
    where = url.parse(text)
    if where.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        ssh.connect_ahead(where)


@atexit.register
def close_all() -> None:
    """End every connection of this process."""
    with _guard:
        for outcome in _hosts.values():
            if outcome.done():
                outcome.result().close()
        _hosts.clear()


def _open(where: url.HostUrl) -> Host:
    if where.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        transport, identity = ssh.open_connection(where)
        return Host(where, transport, identity)
    local = Local(where.name if where.scheme == "netns" else "")
    return Host(where, local, _identify_locally(where, local))


def _identify_locally(where: url.HostUrl, local: Local) -> Identity:
    done = local.run(["sh", "-c", IDENTIFY], stdin=b"", timeout=10)
    if not done.ok:
        raise errors.HostError(
            f"{where} does not answer",
            seen=done.tail(),
            do="./lab sandbox up" if where.scheme == "netns" else "",
        )
    identity = read_identity(done.stdout)
    if where.scheme == "netns":
        return dataclasses.replace(identity, machine_id=f"{identity.machine_id}/{where.name}")
    return identity


# One line each: user id, machine-id, the address of this end of an ssh login,
# and the address this machine would use to go out.
IDENTIFY = (
    "id -u; cat /etc/machine-id 2>/dev/null || hostname; "
    'echo "${SSH_CONNECTION:-}"; '
    "ip -4 -o address show scope global 2>/dev/null | head -n 1"
)


def read_identity(text: str) -> Identity:
    """Parse what IDENTIFY printed."""
    uid, machine_id, connection, own, *_rest = [*text.splitlines(), "", "", "", ""]
    words = connection.split()
    # SSH_CONNECTION: client address, client port, server address, server port.
    address = words[2] if len(words) == 4 and ":" not in words[2] else ""  # noqa: PLR2004
    if not address and "inet" in own.split():
        fields = own.split()
        address = fields[fields.index("inet") + 1].split("/")[0]
    return Identity(int(uid), machine_id.strip(), address)
