"""A python on a host that runs our own modules there, call after call.

Starting a python costs more than most of what we ask of it, so that one is started and asked
again. The program is argv and holds no data; modules, requests and answers travel on its standard
input and output, so nothing of a request stands in a process list. Each request runs in a child
of its own: what one leaves behind, another does not find.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

# Reads lines of {"modules": [[name, source], ...], "module": name, "request": ...}; answers each
# with a line of {"answer": main(request)}, or of {"status": ...} where `main` gave no answer.
_PROGRAM = """
import json, os, sys, traceback, types
asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
def load(name, source):
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules[".".join(parts[:-1])], parts[-1], module)
    exec(compile(source, name, "exec"), module.__dict__)
def act(sent):
    for name, source in sent["modules"]:
        load(name, source)
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        answer = json.dumps({"answer": sys.modules[sent["module"]].main(sent["request"])})
        told.write(answer + "\\n")
        told.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)
for line in asked:
    status = act(json.loads(line))
    if status:
        told.write(json.dumps({"status": status}) + "\\n")
        told.flush()
"""
ARGV = ("python3", "-I", "-c", _PROGRAM)
TAIL_LINES = 15

Start = Callable[[Sequence[str], IO[bytes]], "subprocess.Popen[bytes]"]


class EndedError(Exception):
    """The worker, or what it was asked, ended without an answer."""


class Worker:
    """One python on one host; it is asked one thing at a time.

    Args:
        start: Starts argv there with pipes for input and output, its errors into a file.
        argv: `ARGV`, with what makes it root where that is wanted.

    """

    def __init__(self, start: Start, argv: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = start(argv, self._log)
        self._sent: set[str] = set()
        self._rest = b""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ask(
        self, module: str, needs: Sequence[str], request: Mapping[str, Any], timeout: float
    ) -> Any:
        """Return what `main(request)` of `module` returns over there.

        Args:
            module: The dotted name of a module of ours that defines `main`.
            needs: Dotted names of our modules that it imports, each before its users.
            request: Anything JSON can carry.
            timeout: Seconds after which it is given up.

        Raises:
            EndedError: There is no answer; `tail` has what was said.
            TimeoutError: There is none yet.

        """
        new = [name for name in (*needs, module) if name not in self._sent]
        sent = {
            "modules": [[name, _source(name)] for name in new],
            "module": module,
            "request": request,
        }
        self._log.seek(0)
        self._log.truncate()
        try:
            self._write(json.dumps(sent).encode() + b"\n")
        except OSError as error:
            raise EndedError from error
        answer = json.loads(self._line(time.monotonic() + timeout))
        if "answer" not in answer:
            raise EndedError
        self._sent.update(new)
        return answer["answer"]

    def tail(self) -> str:
        """Return the last lines of what it said beside its answers."""
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip()
        return "\n".join(said.splitlines()[-TAIL_LINES:])

    def wait(self) -> int:
        """Return its exit status; it ends when nothing more is asked."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            return self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        """End it with all that it started on this machine."""
        # What runs as root by sudo is not ours to kill; it ends with its input.
        with contextlib.suppress(PermissionError):
            if self.alive:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and what belongs to it; nothing is asked of it any more."""
        self.kill()
        self.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def _write(self, data: bytes) -> None:
        stream = self._process.stdin
        if stream:
            stream.write(data)
            stream.flush()

    def _line(self, deadline: float) -> bytes:
        stream = self._process.stdout
        while stream and b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                raise TimeoutError
            piece = os.read(stream.fileno(), 1 << 16)
            if not piece:
                raise EndedError
            self._rest += piece
        line, _newline, self._rest = self._rest.partition(b"\n")
        return line


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return pathlib.Path(spec.origin).read_text()
