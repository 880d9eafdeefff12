"""What the engine's run is that this process serves."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from core import lifetime

# Flags that stand before a command of the engine and take a value of their own.
_WITH_VALUE = {"-C", "--cwd", "--color", "-v", "--verbose", "--tracing", "--profiling",
               "--memprofilerate", "--otel-traces"}  # fmt: skip

# By it `lab up` names what may go, with commas between: servers, which are made anew, and volumes
# (`yuno1/data`). Where it is set, whatever else would go stops the run.
REBUILD = "GRAPPE_REBUILD"
# The owners whose resources this run has checked. A destroy checks none.
_checked: set[str] = set()


def note_check(owner: str) -> None:
    """Note that the engine asked to check a resource: it is going to have it, not to remove all."""
    _checked.add(owner)


# The id that the stack's configuration gives the lab.
_lab: list[str] = []


def note_lab(lab: str) -> None:
    """Note the id of the lab that this run is of."""
    _lab[:] = [lab]


def lab() -> str:
    """Return the id of the lab that this run is of; empty where it has none."""
    return _lab[0] if _lab else ""


def rebuilds(server: str) -> bool:
    """Return whether a server is to be made anew by this run."""
    return server in os.environ.get(REBUILD, "").split(",")


def begin() -> None:
    """Forget what an earlier run of the engine was, in a process that serves several."""
    _checked.clear()
    _lab.clear()


def destroys(owner: str) -> bool:
    """Return whether this run takes all of an owner's down.

    Both signs must be there: a replacement deletes too, and what it deletes stands in the
    middle of a lab.
    """
    return owner not in _checked and command() == "destroy"


def command() -> str:
    """Return the engine's command: `up`, `destroy`; nothing where there is no engine."""
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
