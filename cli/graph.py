"""`./lab graph`: show the topology of a lab, in the terminal or as a picture."""

from __future__ import annotations

import sys

from cli import environment, labs, options
from core import errors
from views import topology


def run_options(parser: options.Parser) -> None:
    """Add the options of `graph`."""
    options.stack(parser)
    text = "a picture to project; - for standard output"
    parser.add_argument("--svg", default="", metavar="FILE", help=text)


def run(name: str, svg: str) -> int:
    """Print the topology, or write the picture.

    Raises:
        errors.BadInputError: The picture's folder does not exist, or the stack file is invalid.
    """
    lab = labs.load(name)
    # A lab that is up knows the address that students dial.
    dialled = lab.cards[0]["ssh"]["host"] if lab.cards else lab.spec.address or "lab host"
    if not svg:
        sys.stdout.write(topology.text(lab.spec, dialled))
        return 0
    picture = topology.svg(lab.spec, dialled)
    if svg == "-":
        sys.stdout.write(picture)
        return 0
    target = environment.given(svg)
    if not target.parent.is_dir():
        raise errors.BadInputError(
            f"{target} cannot be written: there is no folder {target.parent}",
            do=f"mkdir -p {target.parent}, or name another file",
        )
    target.write_text(picture)
    sys.stderr.write(f"{target}\n")
    return 0
