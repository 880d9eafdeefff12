"""All files of a store's folder in one, so that thousands are not opened each time.

The files are the truth: an index that is missing, damaged or older than its folder is none. It does
not see what somebody writes into a file in place: whoever asks for one thing reads its own file.
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
        """Return the folder's files, each one a line; None where no index fits it."""
        try:
            with open(self._path, "rb", 0) as stream:
                first, *lines = stream.read().split(b"\n")
            fits = first.decode() == self._stamp(len(lines)) and all(x[-1:] == b"}" for x in lines)
        except (OSError, ValueError):
            return None
        return lines if fits else None

    def save(self, lines: Iterable[bytes]) -> None:
        """Keep what the files say, as the folder is now."""
        kept = list(lines)
        # As it holds nothing that is not elsewhere, nobody waits until it is on the disk.
        descriptor = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(b"\n".join([self._stamp(len(kept)).encode(), *kept]))
        os.replace(f"{self._path}.new", self._path)

    def _stamp(self, count: int) -> str:
        return f"{os.stat(self._folder).st_mtime_ns} {count}"
