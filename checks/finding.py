"""A fault of a lab host."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault of a lab host.

    Attributes:
        what: What is wrong, in one sentence.
        do: The remedy, as a command where there is one.
        seen: What the survey read.
    """

    what: str
    do: str
    seen: str = ""
