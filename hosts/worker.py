"""A python on a host that runs our own modules there, call after call.

Starting a python costs more than most of what we ask of it, so that one is started and asked again.
The program, `remote/worker_main.py`, is argv and holds no data. The package `remote`, requests and
answers travel on its standard input and output, so nothing of a request stands in a process list.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import remote
from core import run

PACKAGE = pathlib.Path(remote.__file__).parent
ARGV = ("python3", "-I", "-c", (PACKAGE / "worker_main.py").read_text())
TAIL_LINES = 15
# Between two looks at whether anybody waits for an answer.
WAIT_SECONDS = 1.0

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
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._count = 0
        # What it said at its end, once there will be no answer any more.
        self._end: dict[str, Any] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        code = packed()
        self._write(b"%d\n%b" % (len(code), code))

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._end is None and self._process.poll() is None

    def ask(self, module: str, request: Mapping[str, Any], timeout: float) -> Any:
        """Return what `main(request)` of `module` returns over there.

        Args:
            module: The dotted name of a module of `remote` that defines `main`.
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
            self._waiting[number] = answers
            asked = {"id": number, "module": module, "request": request}
            self._write(json.dumps(asked).encode() + b"\n")
        try:
            answer = _wait(answers, time.monotonic() + timeout)
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

    def _write(self, data: bytes) -> None:
        stream = self._process.stdin
        if stream:
            # `_listen` reports a worker that exited.
            with contextlib.suppress(OSError):
                stream.write(data)
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


def _wait(answers: queue.Queue[dict[str, Any]], deadline: float) -> dict[str, Any]:
    """Return the first answer; end where nobody waits for the run any more."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            return answers.get(timeout=min(left, WAIT_SECONDS))
        except queue.Empty:
            run.demand_wanted()
    raise TimeoutError


@functools.cache
def packed() -> bytes:
    """Return the package `remote` as a zip, which python imports from as it is."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.write(path, path.relative_to(PACKAGE.parent))
    return made.getvalue()
