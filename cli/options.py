"""Options that several commands share."""

from __future__ import annotations

import argparse

# The default number of students of a class at once.
JOBS = 4
Parser = argparse.ArgumentParser


def stack(parser: Parser, text: str = "the stack") -> None:
    """Add the name of a stack."""
    parser.add_argument("name", help=text)


def yes(parser: Parser) -> None:
    """Add `--yes`, which answers all questions."""
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def as_json(parser: Parser, text: str = "the same facts as JSON") -> None:
    """Add output for programs."""
    parser.add_argument("--json", dest="as_json", action="store_true", help=text)


def class_name(parser: Parser, text: str = "the class") -> None:
    """Add the name of a class."""
    parser.add_argument("name", metavar="CLASS", help=text)


def students(parser: Parser) -> None:
    """Add a class, students of it, and output for programs."""
    class_name(parser)
    text = "only these, by their labels"
    parser.add_argument("students", nargs="*", default=[], metavar="STUDENT", help=text)
    as_json(parser)


def servers(parser: Parser) -> None:
    """Add students or servers of a class, their number at once, and output for programs."""
    text = "only these students, or servers of theirs: adele zoe:yuno2"
    parser.add_argument("who", nargs="*", default=[], metavar="STUDENT[:SERVER]", help=text)
    jobs(parser)
    as_json(parser, "the same facts as JSON, one line for each server")


def jobs(parser: Parser, default: int = JOBS) -> None:
    """Add the number of runs at once."""
    parser.add_argument("--jobs", type=count, default=default, help=f"how many at once ({default})")


def values(parser: Parser) -> None:
    """Add further settings of a stack file."""
    text = "another setting, as in a stack file: --set language=fr --set 'servers=[{name: web}]'"
    parser.add_argument(
        "--set", dest="pairs", action="append", default=[], metavar="KEY=VALUE", help=text
    )


def count(text: str) -> int:
    """Return a number of jobs or seconds; argparse reports any other text."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)
