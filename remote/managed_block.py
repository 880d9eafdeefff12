"""Find, replace or remove the managed part of a file; the rest stays byte for byte. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

BEGIN = "# BEGIN GRAPPE"
END = "# END GRAPPE"
# The format of a fragment's file in the store, and the newest that we know. We leave a store alone
# that a newer Grappe wrote.
FORMAT, NEWEST_FORMAT = 1, 2
_BEGIN = re.compile(r"^# BEGIN GRAPPE \(changed by Grappe alone\)(?: \[(.*)\])?$")

# The flags that make `remove` undo an added line break, and a created file.
NEWLINE = "newline added"
CREATED = "file added"


class DamagedError(Exception):
    """The managed part lacks one of its markers, or exists twice."""


class Document(NamedTuple):
    """A file in parts; `body` is None without a managed part.

    Lines of `body` end with a line break, as do those before it.
    """

    before: str
    body: Optional[str]
    after: str
    flags: tuple[str, ...] = ()


def split(text: str) -> Document:
    """Find the managed part of a file.

    Raises:
        DamagedError: There is not exactly one beginning followed by one end.
    """
    lines = text.splitlines(keepends=True)
    begins = [n for n, line in enumerate(lines) if line.startswith(BEGIN)]
    ends = [n for n, line in enumerate(lines) if line.startswith(END)]
    if not begins and not ends:
        return Document(text, None, "")
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        places = ", ".join(f"line {n + 1}" for n in sorted(begins + ends))
        message = f"there must be one '{BEGIN}' and then one '{END}'; seen: {places}"
        raise DamagedError(message)
    begin, end = begins[0], ends[0]
    match = _BEGIN.match(lines[begin].rstrip("\n"))
    if not match or lines[end].rstrip("\n") != END:
        message = f"line {begin + 1} or {end + 1} was changed"
        if lines[begin].endswith("\r\n"):
            message = "its lines end as on Windows, with a carriage return (sed -i 's/\\r$//' FILE)"
        raise DamagedError(message)
    flags = tuple((match.group(1) or "").split("; ")) if match.group(1) else ()
    return Document(
        "".join(lines[:begin]), "".join(lines[begin + 1 : end]), "".join(lines[end + 1 :]), flags
    )


def join(document: Document) -> str:
    """Join the parts of a file."""
    if document.body is None:
        return document.before + document.after
    flags = f" [{'; '.join(document.flags)}]" if document.flags else ""
    begin = f"{BEGIN} (changed by Grappe alone){flags}\n"
    return document.before + begin + document.body + END + "\n" + document.after


def put(text: Optional[str], body: str, *, at_top: bool = False) -> str:
    """Return the file with this managed part: in its place, or added at the end.

    Args:
        text: The file, or None if it is missing.
        body: The managed part, its lines ended.
        at_top: Add it at the top instead, below a script's `#!`.
    """
    if text is None:
        return join(Document("", body, "", (CREATED,)))
    parts = split(text)
    if parts.body is not None:
        return join(parts._replace(body=body))
    before, after = text, ""
    if at_top:
        before, newline, after = text.partition("\n") if text[:2] == "#!" else ("", "", text)
        before += newline
    if before and not before.endswith("\n"):
        return join(Document(before + "\n", body, after, (NEWLINE,)))
    return join(Document(before, body, after, ()))


def remove(text: Optional[str]) -> Optional[str]:
    """Return the file without the managed part; None if Grappe made the file for it."""
    if text is None:
        return None
    parts = split(text)
    if parts.body is None:
        return text
    before = parts.before[:-1] if NEWLINE in parts.flags else parts.before
    rest = before + parts.after
    return None if CREATED in parts.flags and not rest else rest
