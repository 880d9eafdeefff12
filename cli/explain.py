"""`./lab explain`: show the lab sheet's own lines, with a stack's values."""

from __future__ import annotations

from cli import labs, options, progress
from views import explain


def run_options(parser: options.Parser) -> None:
    """Add the options of `explain`."""
    options.stack(parser)
    options.as_json(parser)


def run(name: str, *, as_json: bool) -> int:
    """Print the sheet's lines for each resource; the lab need not be up."""
    lab = labs.load(name)
    dialled = lab.cards[0]["ssh"]["host"] if lab.cards else lab.spec.address or "<address>"
    parts = explain.parts(lab.spec, dialled)
    progress.answer(parts, explain.render(parts), as_json=as_json)
    return 0
