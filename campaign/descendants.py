"""The processes that a process started."""

from __future__ import annotations

import pathlib


def descendants(pid: int) -> dict[int, str]:
    """Return the command line of each descendant of a process, by its pid."""
    found: dict[int, str] = {}
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = task.joinpath("children").read_text().split()
            lines = {
                int(child): pathlib.Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
                for child in children
            }
        except OSError:
            # It ended meanwhile.
            continue
        found.update(lines)
        for child in lines:
            found.update(descendants(child))
    return found
