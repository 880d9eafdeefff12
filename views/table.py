"""Plain-text tables: stable in pipes, as narrow as possible."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def render(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line of heads and a line a row; the last column has no padding."""
    widths = [max(len(row[index]) for row in (heads, *rows)) for index in range(len(heads))]
    widths[-1] = 0
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]
