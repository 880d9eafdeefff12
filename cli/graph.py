"""`./lab graph`: show the topology of a lab, in the terminal or as a picture."""

from __future__ import annotations

import argparse
import pathlib
import sys

from cli import labs
from core import errors
from views import topology


def run(options: argparse.Namespace) -> int:
    """Print the topology, or write the picture."""
    lab = labs.load(options.name)
    # A lab that is up knows the address that students dial.
    dialled = lab.cards[0]["ssh"]["host"] if lab.cards else lab.spec.address or "lab host"
    if not options.svg:
        sys.stdout.write(topology.text(lab.spec, dialled))
        return 0
    picture = topology.svg(lab.spec, dialled)
    if options.svg == "-":
        sys.stdout.write(picture)
        return 0
    target = pathlib.Path(options.svg)
    if not target.parent.is_dir():
        raise errors.BadInputError(f"there is no folder {target.parent}")
    target.write_text(picture)
    sys.stderr.write(f"{target}\n")
    return 0
