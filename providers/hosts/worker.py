"""A python on a host that runs our own modules there, call after call.

Starting a python costs more than most of what we ask of it, so that one is started and asked
again. The program is argv and holds no data; modules, requests and answers travel on its standard
input and output, so nothing of a request stands in a process list. Each request runs in a child
of its own, several at once: what one leaves behind, another does not find.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

# Reads lines of {"id", "modules": [[name, source], ...], "module", "request"}; answers each with
# a line of {"id", "answer": main(request)}, or {"id", "failed": what was said} where there is none.
_PROGRAM = """
import fcntl, json, os, signal, sys, tempfile, types
asked, told = os.fdopen(os.dup(0), "rb"), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
turn = tempfile.TemporaryFile()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
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
def tell(**said):
    data = memoryview(json.dumps(said).encode() + b"\\n")
    fcntl.lockf(turn, fcntl.LOCK_EX)
    while data:
        data = data[os.write(told, data):]
def act(sent):
    try:
        tell(id=sent["id"], answer=sys.modules[sent["module"]].main(sent["request"]))
    except BaseException:
        import traceback
        tell(id=sent["id"], failed=traceback.format_exc())
def watch(sent):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        act(sent)
        return
    status = os.waitpid(pid, 0)[1]
    if status:
        tell(id=sent["id"], failed="it was ended by signal %d" % (status & 127))
for line in asked:
    sent = json.loads(line)
    for name, source in sent["modules"]:
        load(name, source)
    if not os.fork():
        try:
            watch(sent)
        finally:
            os._exit(0)
"""
ARGV = ("python3", "-I", "-c", _PROGRAM)
TAIL_LINES = 15

Start = Callable[[Sequence[str], IO[bytes]], "subprocess.Popen[bytes]"]


class EndedError(Exception):
    """What was asked ended without an answer; its text is what was said."""


class Worker:
    """One python on one host; any thread may ask it.

    Args:
        start: Starts argv there with pipes for input and output, its errors into a file.
        argv: `ARGV`, with what makes it root where that is wanted.

    """

    def __init__(self, start: Start, argv: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = start(argv, self._log)
        self._sent: set[str] = set()
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._count = 0
        # What it said at its end, once there will be no answer any more.
        self._end: dict[str, Any] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._end is None and self._process.poll() is None

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
            EndedError: There is no answer, and will be none.
            TimeoutError: There is none yet.

        """
        answers: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            if self._end:
                raise EndedError(self._end["failed"])
            self._count += 1
            number = self._count
            new = [name for name in (*needs, module) if name not in self._sent]
            self._sent.update(new)
            self._waiting[number] = answers
            self._write(
                {
                    "id": number,
                    "modules": [[name, _source(name)] for name in new],
                    "module": module,
                    "request": request,
                }
            )
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        finally:
            del self._waiting[number]
        if "answer" not in answer:
            raise EndedError(answer["failed"])
        return answer["answer"]

    def close(self) -> None:
        """End it, and what belongs to it; nothing is asked of it any more."""
        # What runs as root by sudo is not ours to kill; it ends with its input.
        with contextlib.suppress(PermissionError):
            if self.alive:
                os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                # What was not sent any more is nobody's.
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()
        self._log.close()

    def _write(self, request: dict[str, Any]) -> None:
        stream = self._process.stdin
        if stream:
            # One that has ended is told of by who listens.
            with contextlib.suppress(OSError):
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()

    def _listen(self) -> None:
        """Hand each answer to who waits for it; where there will be none, say so."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout or ():
                if not line.startswith(b'{"id"'):
                    # A login may print a greeting of its own before the first answer.
                    continue
                answer = json.loads(line)
                # One that was given up has nobody waiting.
                if waiting := self._waiting.get(answer["id"]):
                    waiting.put(answer)
        with contextlib.suppress(ValueError):
            self._process.wait()
            with self._lock:
                self._end = {"failed": self._said()}
                for waiting in self._waiting.values():
                    waiting.put(self._end)

    def _said(self) -> str:
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(said[-TAIL_LINES:]) or f"exit {self._process.returncode}"


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return pathlib.Path(spec.origin).read_text()
