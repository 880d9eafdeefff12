"""Tables of plain text: stable where they are piped, narrow where they can be."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def render(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line a row below a line of heads; the last column may be as long as it is."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    widths[-1] = 0
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]
