"""What the engine's run is that a provider serves: its command, what it may remake, who it tells.

A plugin that the engine starts serves one run; a process that serves many enters that of each call.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from core import errors, lifetime

# Flags that stand before a command of the engine and take a value of their own.
_WITH_VALUE = {"-C", "--cwd", "--color", "-v", "--verbose", "--tracing", "--profiling",
               "--memprofilerate", "--otel-traces"}  # fmt: skip

# By it `lab up` names what may go, with commas between: servers, which are made anew, and volumes
# (`yuno1/data`). Where it is set, whatever else would go stops the run.
REBUILD = "GRAPPE_REBUILD"


def _print(text: str) -> None:
    # The engine shows what a plugin writes while it is written.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclasses.dataclass
class Run:
    """One run of the engine.

    Attributes:
        command: The engine's command; None where it is to be read from the engine's process.
        rebuild: The value of `REBUILD`; None where the environment has it.
        show: Shows a line to whoever watches the run.
        changes: Told of each change that begins: what is done, and the resource's URN.
        lab: The id that the stack's configuration gives the lab; empty where it has none.
        checked: The owners whose resources this run has checked. A destroy checks none.
        cancelled: Set when nobody waits for the run's calls any more.
    """

    command: str | None = None
    rebuild: str | None = None
    show: Callable[[str], None] = _print
    changes: Callable[[str, str], None] = lambda _what, _urn: None
    lab: str = ""
    checked: set[str] = dataclasses.field(default_factory=set)
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def is_attached(self) -> bool:
        """Whether the process that serves it is not the engine's own."""
        return self.command is not None


_own = Run()
_entered: contextvars.ContextVar[Run | None] = contextvars.ContextVar("run", default=None)


def current() -> Run:
    """Return the run that this thread serves."""
    return _entered.get() or _own


@contextlib.contextmanager
def entered(run: Run) -> Iterator[None]:
    """Serve a run while this is entered."""
    token = _entered.set(run)
    try:
        yield
    finally:
        _entered.reset(token)


def tell(text: str) -> None:
    """Show whoever watches the run a line, or several."""
    current().show(errors.escape(text))


def demand_wanted() -> None:
    """Raise CancelledError where nobody waits for the run any more: a wait ends here."""
    if current().cancelled.is_set():
        raise errors.CancelledError(
            "the run was interrupted while it waited", do="running it again goes on from there"
        )


def rebuilds(server: str) -> bool:
    """Return whether a server is to be made anew by this run."""
    return server in (rebuild() or "").split(",")


def rebuild() -> str | None:
    """Return what may go in this run, with commas between; None where nobody has said."""
    chosen = current().rebuild
    return os.environ.get(REBUILD) if chosen is None else chosen


def destroys(owner: str) -> bool:
    """Return whether this run takes all of an owner's down.

    Both signs must be there: a replacement deletes too, and what it deletes stands in the
    middle of a lab.
    """
    return owner not in current().checked and command() == "destroy"


def command() -> str:
    """Return the engine's command: `up`, `destroy`; nothing where there is no engine."""
    told = current().command
    if told is not None:
        return told
    pid = lifetime.engine()
    if pid is None:
        return ""
    try:
        argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    return parse(argv)


def parse(argv: Sequence[str]) -> str:
    """Return the command among the engine's words, by its full name."""
    words = iter(argv[1:])
    for word in words:
        if word in _WITH_VALUE:
            next(words, "")
        elif word and not word.startswith("-"):
            return {"down": "destroy", "dn": "destroy", "update": "up"}.get(word, word)
    return ""
