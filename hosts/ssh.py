"""A host over SSH: one connection, shared by every command and socket.

The first session identifies the host and then holds the connection open
while our end of its standard input is open: when this process ends, however
it ends, the connection ends with it.

A run has two processes: the program, which declares resources, and the plugin, which changes the
host. The program connects ahead, while the engine starts the plugin; the plugin takes over that
connection if it is up by then. The connection ends with the last of the two.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import queue
import re
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, NamedTuple

from core import errors, lifetime
from hosts import command, identity, url, worker

CONNECT_SECONDS = 15
# ssh's own exit status when the connection, not the command, failed.
CONNECTION_FAILED = 255
# ssh prints this and tries a new connection; the command fails if that is refused too.
REFUSED_SESSION = "Session open refused by peer"
# Seconds until the far end of a forwarded socket must send its first byte.
ANSWER_SECONDS = 5
_FORBIDDEN_SCRIPT = (
    'PATH=$PATH:/usr/sbin; who="user=$(id -un),host=x,addr=${SSH_CLIENT%% *}"; '
    '$(test "$(id -u)" = 0 || echo sudo -n) sshd -T -C "$who" 2>/dev/null | '
    "grep -E '^(allow(tcp|streamlocal)forwarding (no|remote)|disableforwarding yes|permitopen )' | "
    "grep -vx 'permitopen any'; true"
)
END_OF_IDENTITY = "grappe-ready"
# Marks the start of a program's output: a login may print a greeting of its own before.
BEGIN = "grappe-begins"
# Where the login's own files leave nothing of use in PATH.
SHELL = "/bin/sh"
_PATH = 'export PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"'
CONTROL = "control"
_FITS = re.compile(r"[\w./+-]{1,57}")
# Characters that csh or fish interpret within single quotes.
_SPECIAL = "\n!\\"
_PLACEHOLDERS, _OCTAL = r"\001\002\003", r"\012\041\134"
# The first OpenSSH whose ssh_config may say what kind of session it wants.
SESSION_TYPES_SINCE = (8, 7)
# Seconds that an unused connection made ahead stays open.
IDLE_SECONDS = 2

# Messages of OpenSSH's client, and what they mean for a user.
_REASONS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is not the one in known_hosts",
     "if the host was reinstalled: ssh-keygen -R {known_as}, then ssh {login} and compare the key"),
    ("Host key verification failed", "its host key is not in known_hosts",
     "compare its fingerprint with the host's own: ssh {login}"),
    ("Permission denied", "it refuses the key, or the login",
     "ssh-copy-id {login}, or load the key: ssh-add; else AllowUsers or PermitRootLogin there"),
    ("client_loop: send disconnect", "it ends the login at once",
     "in its sshd_config, a PermitRootLogin of forced-commands-only does that: prohibit-password"),
    ("Could not resolve hostname", "the name is not known",
     "check the name, or add it to ~/.ssh/config"),
    ("Connection refused", "nothing listens on its ssh port", "is sshd running there?"),
    (": restricted", "its login has a restricted shell, which runs nothing of ours",
     "another login, or there: chsh -s /bin/sh LOGIN"),
    ("Too many authentication failures", "it is offered too many keys",
     "for it in ~/.ssh/config: IdentityFile KEY, and IdentitiesOnly yes"),
    ("kex_exchange_identification", "its sshd closes new connections",
     "there, journalctl -u ssh says why: too many at once (MaxStartups), fail2ban, hosts.deny"),
    ("no matching", "its ssh and this machine's have no method in common",
     "a newer OpenSSH on the older of the two"),
    ("No route to host", "no route leads to it", "is it up, and does its firewall let ssh in?"),
    ("Network is unreachable", "no route leads to it", "is this machine in a network that has it?"),
    ("timed out", "it does not answer", "is it up, and is the address right?"),
)  # fmt: skip


def connect_ahead(host_url: url.HostUrl) -> None:
    """Begin to connect for another process of this run; that process reports errors."""
    nothing = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        if lifetime.engine() is not None:
            argv = [
                *_client(host_url, _make_folder(host_url), "auto", persist=f"{IDLE_SECONDS}"),
                "cat",
            ]
            held = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, start_new_session=True
            )
            _ahead.append(held)


# Sessions that end with this process.
_ahead: list[subprocess.Popen[bytes]] = []


class Ssh:
    """One multiplexed connection of OpenSSH's own client."""

    def __init__(self, host_url: url.HostUrl) -> None:
        self._host_url = host_url
        self._folder = _make_folder(host_url)
        self._holder: subprocess.Popen[bytes] | None = None
        self._proxies: list[subprocess.Popen[bytes]] = []

    def open(self) -> identity.Identity:
        """Start the connection and identify the other end.

        Raises:
            errors.HostError: The host cannot be reached, or runs no commands; says why.
        """
        script = (
            f"{_PATH}; echo {BEGIN}; {identity.IDENTIFY}; echo {END_OF_IDENTITY}; "
            "exec cat >/dev/null"
        )
        log = self._folder / "log"
        with log.open("wb") as errors_of_ssh:
            self._holder = command.start(
                [*self._ssh("auto"), "--", shlex.join(["exec", SHELL, "-c", script])], errors_of_ssh
            )
        printed = _first_lines(self._holder, END_OF_IDENTITY, CONNECT_SECONDS)
        if not printed.complete:
            messages = log.read_text(errors="replace").strip()
            self.close()
            raise _unreachable(self._host_url, messages, printed)
        return identity.read_identity(_after_greeting(printed.text))

    def run(self, argv: Sequence[str], *, stdin: bytes, timeout: float) -> command.CommandResult:
        """Run argv on the host; the login's shell splits the words that we quote here.

        Raises:
            errors.CommandError: The program did not end in time.
            errors.HostError: The connection is lost, or sshd refuses another session.
        """
        done = command.execute(
            [*self._ssh("no"), "--", _command_line(argv)], stdin=stdin, timeout=timeout
        )
        done = dataclasses.replace(done, stdout=_after_greeting(done.stdout))
        if done.status == CONNECTION_FAILED and REFUSED_SESSION in done.stderr:
            raise errors.HostError(
                f"{self._host_url} refuses a second session, and a new connection too",
                seen=done.tail(),
                do="in its sshd_config: MaxSessions 10, and MaxStartups 10:30:100; then systemctl "
                "reload ssh",
            )
        if done.status == CONNECTION_FAILED and not self.alive:
            raise errors.HostError(f"the connection to {self._host_url} was lost", seen=done.tail())
        return done

    def start(self, argv: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start argv on the host."""
        return command.start([*self._ssh("no"), "--", _command_line(argv)], log)

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""
        return self._holder is not None and self._holder.poll() is None

    def socket(self, path: str, *, sudo: bool) -> str:
        """Forward a socket of the host to one of this machine; return its path.

        Raises:
            errors.HostError: sshd forwards no sockets, or sudo is refused.
        """
        local = str(self._folder / f"socket{len(list(self._folder.iterdir()))}")
        remote = self._serve_as_root(path) if sudo else path
        done = self._control("forward", "-L", f"{local}:{remote}")
        if not done.ok:
            raise errors.HostError(
                f"{self._host_url}: {path} could not be forwarded", seen=done.tail()
            )
        if not _answers(local) and (forbids := self._forbidden_forwarding()):
            raise errors.HostError(
                f"{self._host_url}: sshd does not forward to {path}",
                seen=forbids,
                do="in its sshd_config, for this login: AllowTcpForwarding yes, "
                "AllowStreamLocalForwarding yes, DisableForwarding no, and no PermitOpen; then "
                "systemctl reload ssh",
            )
        return local

    def _forbidden_forwarding(self) -> str:
        """Return the forwarding that sshd's configuration forbids; empty if none or unreadable."""
        argv = ["sh", "-c", _FORBIDDEN_SCRIPT]
        return self.run(argv, stdin=b"", timeout=CONNECT_SECONDS).stdout.strip()

    def close(self) -> None:
        """End the connection and what it left on this machine."""
        for process in (*self._proxies, *([self._holder] if self._holder else [])):
            process.terminate()
            if process.stdin:
                process.stdin.close()
            if process.stdout:
                process.stdout.close()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._holder, self._proxies = None, []
        if (self._folder / CONTROL).exists():
            # A connection made ahead ends with the process that took it over.
            self._control("exit")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ssh(self, master: str) -> list[str]:
        return _client(self._host_url, self._folder, master)

    def _control(self, *words: str) -> command.CommandResult:
        """Send a control command to the connection's master."""
        *options, target = self._ssh("no")
        return command.execute([*options, "-O", *words, target])

    def _serve_as_root(self, path: str) -> str:
        """Start a proxy for `path` as root on the host; return its socket, open to our login."""
        program = (worker.PACKAGE / "socket_proxy.py").read_text()
        argv = ["sudo", "-n", "--", "python3", "-I", "-c", program, path]
        with (self._folder / "proxy").open("wb") as log:
            process = self.start(argv, log)
        self._proxies.append(process)
        printed = _first_lines(process, END_OF_IDENTITY, CONNECT_SECONDS)
        if not printed.complete:
            raise errors.HostError(
                f"{self._host_url}: {path} cannot be reached with sudo",
                do="allow the login `sudo -n`, or add it to the group of the socket",
            )
        return _after_greeting(printed.text).strip()


def _command_line(argv: Sequence[str]) -> str:
    """Return the command line for the login's shell, whichever it is.

    csh takes neither a line break nor a `!` in quotes, and fish no backslash before another, or
    before a quote: other characters stand for them until our own shell puts them back.
    """
    words = shlex.join(argv)
    if not any(sign in words for sign in _SPECIAL):
        return shlex.join(["exec", SHELL, "-c", f'{_PATH}; echo {BEGIN}; exec "$@"', "sh", *argv])
    signs = f"tr '{_PLACEHOLDERS}' '{_OCTAL}'"
    script = f'{_PATH}; echo {BEGIN}; eval "exec $(printf %s "$1" | {signs})"'
    hidden = words.translate(str.maketrans(_SPECIAL, "\1\2\3"))
    return shlex.join(["exec", SHELL, "-c", script, "sh", hidden])


def _after_greeting(printed: str) -> str:
    """Return a program's output without the login's greeting."""
    before, begin, rest = printed.partition(f"{BEGIN}\n")
    return rest if begin else before


class Printed(NamedTuple):
    """What a process printed up to a line.

    Attributes:
        text: What it printed before that line.
        complete: Whether the line came.
        ended: Whether it closed its output without that line.
    """

    text: str
    complete: bool
    ended: bool


def _first_lines(process: subprocess.Popen[bytes], last: str, timeout: float) -> Printed:
    """Read a process's output up to the line `last`; end it where that does not come."""
    lines: queue.Queue[bytes | None] = queue.Queue()
    output = process.stdout or ()

    def read() -> None:
        for line in output:
            lines.put(line)
            if line.decode(errors="replace").strip() == last:
                return
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    text, ended = "", True
    try:
        while (line := lines.get(timeout=timeout)) is not None:
            if line.decode(errors="replace").strip() == last:
                return Printed(text, complete=True, ended=False)
            text += line.decode(errors="replace")
    except queue.Empty:
        ended = False
    process.kill()
    return Printed(text, complete=False, ended=ended)


def _answers(local: str) -> bool:
    """Whether the far end of a forwarded socket answers; sshd closes one that it refuses."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(local)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
        except TimeoutError:
            # A slow far end is not a refusal; the caller has its own time-out.
            return True
        except OSError:
            return False


def _unreachable(host_url: url.HostUrl, messages: str, printed: Printed) -> errors.HostError:
    for words, meaning, remedy in _REASONS:
        if words in messages:
            return errors.HostError(
                f"{host_url} cannot be reached: {meaning}",
                seen=messages.splitlines()[-1],
                do=remedy.format(login=host_url.login, known_as=host_url.known_as),
            )
    if not messages and (printed.text or printed.ended):
        lines = printed.text.strip().splitlines()
        return errors.HostError(
            f"{host_url} accepts the login, but runs no command",
            seen=f"it printed: {lines[-1]}" if lines else "it ended, and printed nothing",
            do=f"`ssh {host_url.login} echo hello` must print hello: no ForceCommand there and no "
            "MaxSessions 0, nothing in the login's own files that ends or replaces its shell, and "
            "no shell that runs nothing but its own list of programs",
        )
    return errors.HostError(
        f"{host_url} cannot be reached",
        seen=messages.splitlines()[-1] if messages else f"no answer within {CONNECT_SECONDS} s",
        do=f"ssh {host_url.login} must work from this machine without a prompt",
    )


def _client(
    host_url: url.HostUrl, folder: pathlib.Path, master: str, *, persist: str = "no"
) -> list[str]:
    config = os.environ.get("GRAPPE_SSH_CONFIG", "")
    return [
        "ssh", *(["-F", config] if pathlib.Path(config).is_file() else []),
        "-o", f"ControlMaster={master}", "-o", f"ControlPath={folder / CONTROL}",
        "-o", f"ControlPersist={persist}", "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS - 5}",
        "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ForwardX11=no",
        "-o", "ClearAllForwardings=no", "-o", "ExitOnForwardFailure=no",
        "-o", "RemoteCommand=none", "-o", "LogLevel=ERROR", *_sessions(),
        "-T", *host_url.words,
    ]  # fmt: skip


@functools.cache
def _sessions() -> list[str]:
    """Return the options of a plain session that this machine's ssh knows."""
    return session_options(command.execute(["ssh", "-V"]).stderr)


def session_options(version: str) -> list[str]:
    """Return the options of a plain session that an ssh knows, whose version is `version`."""
    found = re.search(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)", version)
    if not found or tuple(map(int, found.groups())) < SESSION_TYPES_SINCE:
        return []
    return ["-o", "SessionType=default", "-o", "StdinNull=no", "-o", "ForkAfterAuthentication=no"]


def _make_folder(host_url: url.HostUrl) -> pathlib.Path:
    """Return a private folder: the host's own in this run, or a new one outside a run.

    A control socket's path must be short, and ssh gives spaces and `%` in it a meaning. This also
    removes the folders of killed processes.
    """
    wished = tempfile.gettempdir()
    root = pathlib.Path(wished if _FITS.fullmatch(wished) else "/tmp")  # noqa: S108 - a private folder
    for folder in root.glob("grappe-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not lifetime.is_alive(int(pid)) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
    run = lifetime.engine()
    if run is not None:
        name = hashlib.sha256(str(host_url).encode()).hexdigest()[:8]
        folder = root / f"grappe-{run}-{name}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # The parent folder is shared: another user may have created this name first.
        if _is_ours(folder):
            return folder
    return pathlib.Path(tempfile.mkdtemp(prefix=f"grappe-{os.getpid()}-", dir=root))


def _is_ours(folder: pathlib.Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
