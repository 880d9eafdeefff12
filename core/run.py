"""The engine's run that a provider serves: its command, its permitted losses, its output.

A plugin that the engine starts serves one run. An attached process serves many: each call enters
its own.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import pathlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from core import errors, lifetime

# The engine's flags that may precede the command and take a value.
_WITH_VALUE = {"-C", "--cwd", "--color", "-v", "--verbose", "--tracing", "--profiling",
               "--memprofilerate", "--otel-traces"}  # fmt: skip

# Flags that limit a run to some resources: there a destroy sweeps nothing.
_SELECTS = re.compile(r"--(target|exclude)\b|-[yfrd]*t")
PARTIAL = " of a part"

# The environment variable in which `lab up` names what the run may delete, separated by commas:
# servers, which it recreates, and volumes (`yuno1/data`). If set, any other loss stops the run.
REBUILD = "GRAPPE_REBUILD"


def _print(text: str) -> None:
    # The engine shows a plugin's output as it comes.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclasses.dataclass
class Run:
    """One run of the engine.

    Attributes:
        command: The engine's command; None to read it from the engine's process.
        rebuild: The value of `REBUILD`; None to read it from the environment.
        show: Shows the user a line.
        changes: Called as each change begins, with the operation and the resource's URN.
        lab: The lab's id in the stack's configuration; empty where it has none.
        checked: The owners whose resources this run has checked. A destroy checks none.
        homes: By owner, the ids of the machine and of its boot on which the run wants the lab.
        wanted: The host and id of each thing that this run has checked, and goes on to want.
        cancelled: Set when the engine no longer waits for the run's calls.
    """

    command: str | None = None
    rebuild: str | None = None
    show: Callable[[str], None] = _print
    changes: Callable[[str, str], None] = lambda _what, _urn: None
    lab: str = ""
    checked: set[str] = dataclasses.field(default_factory=set)
    homes: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    wanted: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def is_attached(self) -> bool:
        """Whether a process of ours serves the run, not one that the engine started."""
        return self.command is not None


_own = Run()
_entered: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)


def current() -> Run:
    """Return the run that this thread serves."""
    return _entered.get() or _own


@contextlib.contextmanager
def entered(run: Run) -> Iterator[None]:
    """Serve a run within this context."""
    token = _entered.set(run)
    try:
        yield
    finally:
        _entered.reset(token)


class Pool(futures.ThreadPoolExecutor):
    """A thread pool whose threads serve the run of the thread that submits the work.

    Threads of a plain pool serve no run: they ignore what it may delete and whether it was
    cancelled, and print instead of reporting to it.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Begin some work."""
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)


def report(text: str) -> None:
    """Show the user of the run one or more lines."""
    current().show(errors.escape(text))


def raise_if_cancelled() -> None:
    """Raise CancelledError if the run was interrupted; every wait calls this."""
    if current().cancelled.is_set():
        raise errors.CancelledError(
            "the run was interrupted while it waited", do="running it again goes on from there"
        )


def rebuilds(server: str) -> bool:
    """Return whether this run recreates a server."""
    return server in (rebuild() or "").split(",")


def rebuild() -> str | None:
    """Return what this run may delete, separated by commas; None where nothing limits it."""
    chosen = current().rebuild
    return os.environ.get(REBUILD) if chosen is None else chosen


def destroys(owner: str) -> bool:
    """Return whether this run destroys everything of an owner.

    Both signs must hold: a replacement deletes too, in the middle of a lab that goes on.
    """
    return owner not in current().checked and command() == "destroy"


def home(owner: str, here: tuple[str, str]) -> tuple[str, str]:
    """Return the machine on which this run wants the lab of an owner; `here` if it is unknown."""
    return current().homes.get(owner, here)


def command() -> str:
    """Return the engine's command: `up`, `destroy`; nothing where there is no engine."""
    ordered = current().command
    if ordered is not None:
        return ordered
    pid = lifetime.engine()
    if pid is None:
        return ""
    try:
        argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    return parse(argv)


def parse(argv: Sequence[str]) -> str:
    """Return the command in the engine's argv, by its full name; that of a part has `PARTIAL`."""
    words = iter(argv[1:])
    for word in words:
        if word in _WITH_VALUE:
            next(words, "")
        elif word and not word.startswith("-"):
            name = {"down": "destroy", "dn": "destroy", "update": "up"}.get(word, word)
            return f"{name}{PARTIAL}" if any(map(_SELECTS.match, words)) else name
    return ""
