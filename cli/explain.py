"""`./lab explain`: show the lab sheet's own lines, with a stack's values."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from cli import labs
from views import explain


def run(options: argparse.Namespace) -> int:
    """Print the sheet's lines for each resource; the lab need not be up."""
    lab = labs.load(options.name)
    dialled = lab.cards[0]["ssh"]["host"] if lab.cards else lab.spec.address or "<address>"
    parts = explain.parts(lab.spec, dialled)
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(part) for part in parts]) + "\n")
    else:
        sys.stdout.write(explain.render(parts))
    return 0
