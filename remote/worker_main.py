"""The worker's program on a host, run by `python3 -c`.

Its input is a line with a number, a zip of so many bytes with this package, and then lines of
{"id", "module", "request"}. It answers each with a line of {"id", "answer": main(request)}, or
{"id", "failed": why} without an answer. Each request runs in a child process of its own, so that
none sees what another leaves behind. Standard library alone.
"""

import contextlib
import fcntl
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from typing import Any, BinaryIO, Dict

requests, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
# Programs' output must not mix with the answers.
os.dup2(2, 1)


def unnamed() -> BinaryIO:
    """Return a file without a name, which a signal cannot leave behind.

    In memory where the system can: doctor must work on a host with a full disk.
    """
    try:
        return os.fdopen(os.memfd_create("grappe"), "w+b")
    except (AttributeError, OSError):
        return tempfile.TemporaryFile()


# The modules that a run calls after its survey; the worker imports them during the survey.
NEXT = ["remote.transaction", "remote.tunnels", "remote.reachability"]

turn = unnamed()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
package = unnamed()
package.write(requests.read(int(requests.readline())))
package.flush()
sys.path.insert(0, "/dev/fd/%d" % package.fileno())


def send_answer(answer: Dict[str, Any]) -> None:
    """Write one answer, whole."""
    data = memoryview(json.dumps(answer).encode() + b"\n")
    fcntl.lockf(turn, fcntl.LOCK_EX)
    while data:
        data = data[os.write(answers, data) :]
    # The process that reads the requests lives on.
    fcntl.lockf(turn, fcntl.LOCK_UN)


def describe(error: BaseException) -> str:
    """Return an error in one line, with the line of our code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([each for each in frames if "/remote/" in each.filename] or frames)[-1]
    location = "%s of %s, line %s" % (frame.name, frame.filename.rpartition("/")[2], frame.lineno)
    return "%s: %s (in %s)" % (type(error).__name__, error, location)


def serve(number: int, module: Any, request: Any) -> None:
    """Answer a request."""
    try:
        send_answer({"id": number, "answer": module.main(request)})
    except BaseException as error:
        send_answer({"id": number, "failed": describe(error)})


def watch(number: int, module: Any, request: Any) -> None:
    """Have a child answer a request; answer for it if it dies."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        serve(number, module, request)
        return
    status = os.waitpid(pid, 0)[1]
    if status:
        send_answer({"id": number, "failed": "it was killed by signal %d" % (status & 127)})


for line in requests:
    sent = json.loads(line)
    try:
        loaded = importlib.import_module(sent["module"])
    except Exception as error:
        send_answer({"id": sent["id"], "failed": describe(error)})
        continue
    if not os.fork():
        try:
            watch(sent["id"], loaded, sent["request"])
        finally:
            os._exit(0)
    while NEXT and sent["module"].startswith("remote.surveys."):
        # A python without all of the standard library fails where it is needed, in words.
        with contextlib.suppress(Exception):
            importlib.import_module(NEXT.pop(0))
