"""`./lab explain`: show the lab sheet's own lines, with a stack's values."""

from __future__ import annotations

import dataclasses
import json
import sys

from cli import labs, options
from views import explain


def run_options(parser: options.Parser) -> None:
    """Add what `explain` takes."""
    options.stack(parser)
    options.as_json(parser)


def run(name: str, *, as_json: bool) -> int:
    """Print the sheet's lines for each resource; the lab need not be up."""
    lab = labs.load(name)
    dialled = lab.cards[0]["ssh"]["host"] if lab.cards else lab.spec.address or "<address>"
    parts = explain.parts(lab.spec, dialled)
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(part) for part in parts]) + "\n")
    else:
        sys.stdout.write(explain.render(parts))
    return 0
