"""A Python process on a host that runs our own modules there, call after call.

Starting Python costs more than most requests, so one process serves many. The program,
`remote/worker_main.py`, is argv and holds no data. The package `remote`, requests and answers
travel on its standard input and output, so no process list shows a request.
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
ARGV = ("python3", "-I", "-X", "utf8", "-c", (PACKAGE / "worker_main.py").read_text())
TAIL_LINES = 15
# Seconds between two checks that the run still waits for an answer.
WAIT_SECONDS = 1.0

Start = Callable[[Sequence[str], IO[bytes]], "subprocess.Popen[bytes]"]


class EndedError(Exception):
    """A request ended without an answer; the text is the worker's output."""


class Worker:
    """One worker on one host; any thread may call it.

    Args:
        start: Starts argv there with pipes for input and output, its errors into a file.
        argv: `ARGV`, after `sudo` where the worker must be root.
    """

    def __init__(self, start: Start, argv: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = start(argv, self._log)
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._count = 0
        # The worker's last output, once it has exited.
        self._end: dict[str, Any] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        code = packed()
        self._write(b"%d\n%b" % (len(code), code))

    @property
    def alive(self) -> bool:
        """Whether the worker still runs."""
        return self._end is None and self._process.poll() is None

    def call(self, module: str, request: Mapping[str, Any], timeout: float) -> Any:
        """Return what `main(request)` of `module` returns over there.

        Args:
            module: The dotted name of a module of `remote` that defines `main`.
            request: Anything JSON can carry.
            timeout: Seconds to wait for the answer.

        Raises:
            EndedError: The worker or the request ended without an answer.
            TimeoutError: No answer came in time.
        """
        answers: queue.Queue[dict[str, Any]] = queue.Queue()
        with self._lock:
            if self._end:
                raise EndedError(self._end["failed"])
            self._count += 1
            number = self._count
            self._waiting[number] = answers
            message = {"id": number, "module": module, "request": request}
            self._write(json.dumps(message).encode() + b"\n")
        try:
            answer = _wait(answers, time.monotonic() + timeout)
        finally:
            del self._waiting[number]
        if "answer" not in answer:
            raise EndedError(answer["failed"])
        return answer["answer"]

    def close(self) -> None:
        """End the worker and close its files; it takes no more calls."""
        # We may not kill a root process behind sudo; it ends with its input.
        with contextlib.suppress(PermissionError):
            if self.alive:
                os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                # Unsent data is of no use to anybody.
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
        """Hand each answer to its waiting call; when the worker exits, fail all waiting calls."""
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout or ():
                if not line.startswith(b'{"id"'):
                    # A login may print a greeting of its own before the first answer.
                    continue
                answer = json.loads(line)
                # A call that timed out no longer waits.
                if waiting := self._waiting.get(answer["id"]):
                    waiting.put(answer)
        with contextlib.suppress(ValueError):
            self._process.wait()
            with self._lock:
                self._end = {"failed": self._last_output()}
                for waiting in self._waiting.values():
                    waiting.put(self._end)

    def _last_output(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        # A python that cannot run our program says so in its last line.
        first = -1 if any(line.startswith("Traceback (") for line in lines) else -TAIL_LINES
        return "\n".join(lines[first:]) or f"exit {self._process.returncode}"


def _wait(answers: queue.Queue[dict[str, Any]], deadline: float) -> dict[str, Any]:
    """Return the first answer; end early if the run was interrupted."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            return answers.get(timeout=min(left, WAIT_SECONDS))
        except queue.Empty:
            run.raise_if_cancelled()
    raise TimeoutError


@functools.cache
def packed() -> bytes:
    """Return the package `remote` as a zip that Python can import from."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            archive.write(path, path.relative_to(PACKAGE.parent))
    return made.getvalue()
