"""The host a transaction runs on: its files and its programs."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
from typing import Dict, NamedTuple, Optional, Sequence

from remote import plain_http

COMMAND_SECONDS = 30
# A program on a socket answers at once, or hangs.
SOCKET_SECONDS = 3.0
# Part of the name of a staged file.
STAGED = ".grappe-"


class RefusedError(Exception):
    """A change is impossible; `fragment` is the id of the fragment to blame, if any."""

    def __init__(self, brief: str, seen: str = "", do: str = "", fragment: str = "") -> None:
        super().__init__(brief)
        self.brief, self.seen, self.do, self.fragment = brief, seen, do, fragment


class File(NamedTuple):
    """A file's content and mode; `content` is None for a missing file.

    Content is text that keeps bytes other than UTF-8 as surrogates. `link` is
    the target of a symbolic link instead. An existing file keeps its owner,
    and its mode unless `mode` is given.
    """

    content: Optional[str]
    mode: Optional[int] = None
    link: str = ""


class Result(NamedTuple):
    """A program's exit status and output."""

    status: int
    out: str
    err: str


class System:
    """A machine; `root` prefixes every path, for a host that is a folder."""

    def __init__(self, root: str = "") -> None:
        self.root = root

    def run(
        self, argv: Sequence[str], stdin: str = "", environment: Optional[Dict[str, str]] = None
    ) -> Result:
        """Run a program, with more variables where some are given.

        Raises:
            RefusedError: It is not installed, or hangs.
        """
        try:
            done = subprocess.run(
                list(argv),
                input=stdin.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=COMMAND_SECONDS,
                env={
                    **os.environ,
                    **(environment or {}),
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C",
                },
                check=False,
            )
        except FileNotFoundError as error:
            raise RefusedError(f"{argv[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise RefusedError(f"{argv[0]} did not end within {COMMAND_SECONDS} s") from error
        return Result(done.returncode, _text(done.stdout), _text(done.stderr))

    def must(self, argv: Sequence[str], stdin: str = "") -> Result:
        """Run a program; raise RefusedError with its output unless it exits with 0."""
        done = self.run(argv, stdin)
        if done.status != 0:
            seen = (done.err.strip() or done.out.strip()) or f"exit status {done.status}"
            raise RefusedError(f"{' '.join(argv[:4])} failed", seen)
        return done

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        return shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is not None

    def http(self, port: int, path: str) -> str:
        """Return the beginning of the answer to a GET on loopback; raise OSError."""
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            return plain_http.get(connection, path)[:64].decode("ascii", "replace")

    def send(self, path: str, text: str) -> str:
        """Send a text to a program's Unix socket and return its whole answer; raise OSError."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SOCKET_SECONDS)
            connection.connect(self.root + path)
            connection.sendall(text.encode())
            # HAProxy's master ends its answer when we close our side.
            connection.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while part := connection.recv(65536):
                answer += part
        return answer.decode("utf-8", "replace")

    def read(self, path: str) -> File:
        """Read a file."""
        real = self.root + path
        if os.path.islink(real):
            return File("", None, os.readlink(real))
        try:
            with open(real, "rb") as stream:
                content = stream.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return File(None)
        return File(content, os.stat(real).st_mode & 0o7777)

    def stage(self, path: str, file: File) -> str:
        """Write a file beside its target, ready for one rename; return its path."""
        real = self.root + path
        staged = os.path.join(
            os.path.dirname(real), f".{os.path.basename(real)}{STAGED}{os.getpid()}"
        )
        os.makedirs(os.path.dirname(real), exist_ok=True)
        if os.path.lexists(staged):
            os.unlink(staged)
        if file.link:
            os.symlink(file.link, staged)
            return staged
        # Nobody else may read it until it has the target's mode.
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write((file.content or "").encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(real):
            status, mine = os.stat(real), os.stat(staged)
            if (status.st_uid, status.st_gid) != (mine.st_uid, mine.st_gid):
                os.chown(staged, status.st_uid, status.st_gid)
            shutil.copystat(real, staged)
        else:
            os.chmod(staged, 0o644)
        if file.mode is not None:
            os.chmod(staged, file.mode)
        return staged

    def sweep(self, path: str) -> None:
        """Remove files that a killed transaction staged beside a file."""
        folder, name = os.path.split(self.root + path)
        for entry in os.listdir(folder) if os.path.isdir(folder) else []:
            if entry.startswith(f".{name}{STAGED}"):
                os.unlink(os.path.join(folder, entry))

    def swap(self, path: str, file: File, staged: str) -> None:
        """Rename a staged file over its target, or remove the target."""
        real = self.root + path
        if file.content is None:
            try:
                os.unlink(real)
            except FileNotFoundError:
                pass
            return
        try:
            os.replace(staged, real)
        except OSError as error:
            # No rename replaces a mount point.
            if error.errno != errno.EBUSY:
                raise
            with open(staged, "rb") as source, open(real, "wb") as target:
                shutil.copyfileobj(source, target)
            os.unlink(staged)

    def write(self, path: str, file: File) -> None:
        """Write a file by one rename."""
        self.swap(path, file, "" if file.content is None else self.stage(path, file))


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def meminfo() -> Dict[str, int]:
    """Return the host's memory in bytes, by the kernel's names: `MemTotal`, `MemAvailable`."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB", read_text("/proc/meminfo"), re.MULTILINE)
    return {name: int(kilobytes) * 1024 for name, kilobytes in lines}


def read_text(path: str) -> str:
    """Return a file's text; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
