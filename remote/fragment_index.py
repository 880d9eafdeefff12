"""An index: one file with the content of all files of a store's folder, maybe thousands.

The files are the truth: a missing, damaged or outdated index does not count. The index misses what
somebody writes into a file in place, so a reader of one fragment reads its own file.
Runs on a host: standard library alone.
"""

from __future__ import annotations

import os
from typing import Iterable, List, Optional


class Index:
    """The index of a folder.

    Args:
        path: Where it is kept.
        folder: The folder.
    """

    def __init__(self, path: str, folder: str) -> None:
        self._path = path
        self._folder = folder

    def load(self) -> Optional[List[bytes]]:
        """Return the content of the folder's files, a line each; None without a valid index."""
        try:
            with open(self._path, "rb", 0) as stream:
                first, *lines = stream.read().split(b"\n")
            fits = first.decode() == self._stamp(len(lines)) and all(x[-1:] == b"}" for x in lines)
        except (OSError, ValueError):
            return None
        return lines if fits else None

    def save(self, lines: Iterable[bytes]) -> None:
        """Write the index for the folder as it is now."""
        kept = list(lines)
        # No fsync: the files hold all of it too.
        descriptor = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(b"\n".join([self._stamp(len(kept)).encode(), *kept]))
        os.replace(f"{self._path}.new", self._path)

    def _stamp(self, count: int) -> str:
        return f"{os.stat(self._folder).st_mtime_ns} {count}"
