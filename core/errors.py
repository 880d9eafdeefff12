"""The errors a user may read: what failed, what was seen, what to do.

The engine shows an exception of a provider as its `str()`, without a
traceback, so `str()` is the whole message.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class GrappeError(Exception):
    """The base of every error that Grappe raises.

    Attributes:
        brief: One sentence: what failed, on which host and resource.
        seen: What Grappe observed: a log's last lines, a tool's own words.
        do: The way out, as a command where there is one.
    """

    brief: str
    seen: str = ""
    do: str = ""

    def __str__(self) -> str:
        lines = [self.brief]
        for label, text in (("seen", self.seen), ("do", self.do)):
            if text:
                first, *rest = text.strip().splitlines()
                lines.append(f"  {label}: {first}")
                lines.extend(f"        {line}" for line in rest)
        return escape("\n".join(lines))


def unexpected(error: Exception) -> GrappeError:
    """Wrap an unexpected error for the user."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    location = f"{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else "?"
    return GrappeError(
        "Grappe failed unexpectedly; this is a bug in Grappe",
        seen=f"{type(error).__name__}: {error} (in {location})",
        do="running it again is safe; please report this message",
    )


class BadInputError(GrappeError):
    """The user's input is invalid; nothing was changed."""


class HostError(GrappeError):
    """A host does not answer, refuses us, or is not the host it was."""


class CommandError(GrappeError):
    """A command on a host failed or did not end in time."""


class NotOursError(GrappeError):
    """The thing belongs to somebody else; Grappe left it alone."""


class CancelledError(GrappeError):
    """The run was interrupted; the work ended at a safe point."""


class NotReadyError(GrappeError):
    """A thing was made and did not become ready before its deadline."""


class DaemonError(GrappeError):
    """A daemon on the host (LXD, HAProxy) failed or hangs."""


class UnfinishedError(DaemonError):
    """LXD still works on an operation after its time-out."""


def escape(text: str) -> str:
    r"""Make text safe for a terminal: control characters become `\x1b`.

    Line breaks and tabs stay. Errors carry other programs' words, and an
    escape sequence among them must not reach the user's screen.
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
