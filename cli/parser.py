"""The command line of `./lab`: its commands, and help that teaches.

A command's module defines its function and, beside it, its options: those of `cli.up:preview` are
in `preview_options`, if it has any. Only the module that the command line names is imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from cli import version

EPILOG = """\
A golden image and a first student on a host of your own:
  ./lab new image --recipe yunohost-12 --host ssh://root@lab.example
  ./lab up image               minutes, once
  ./lab new alice --host ssh://root@lab.example
  ./lab preview alice          what it would do
  ./lab up alice               apply it; run it again to repair drift
  ./lab card alice             what she types and clicks
  ./lab check --all            try every way to every server
  ./lab down alice             take it down
  ./lab class --help           thirty of them by one command

After `eval "$(./lab env)"` a plain `pulumi preview|up|refresh|destroy -s alice` does the same.
Exit status: 0 ok, 1 failure or findings, 2 wrong command line, or `check` or `doctor` itself
failed.
"""
CLASS_EPILOG = """\
  ./lab class new tp1 --roster export.csv --host ssh://root@lab.example --post-install
  ./lab class preview tp1      what it would do, a line a student
  ./lab class up tp1           apply it; run it again to resume, and to repair drift
  ./lab class check tp1        try every way to every server
  ./lab class up tp1 adele zoe     only these two
  ./lab class down tp1

The roster is what Moodle, Pronote or a spreadsheet exports as CSV: a column with the name, or one
each for first and last name; e-mail, id, group and key where they are. Run again with a newer
roster, `new` adds new students, names those who have left, and takes nobody down. Each run logs to
.state/logs/CLASS/STUDENT.log. Exit status: 0 all ok, 1 some failed or do not answer, 2 wrong
command line, or `check` itself failed.
"""
# A command's module and function, and its summary.
Command = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Group:
    """Commands behind a word of their own: `./lab class up`.

    Attributes:
        summary: A line about all of them.
        epilog: What its `--help` ends with.
        commands: The commands by their words.
    """

    summary: str
    epilog: str
    commands: Mapping[str, Command]


SANDBOX = Group(
    "the throwaway lab host, workstation and relay", "",
    {
        "up": ("cli.sandbox:up", "bring it up; does nothing if it is up"),
        "down": ("cli.sandbox:down", "take it down and leave nothing"),
        "status": ("cli.sandbox:status", "show its status"),
        "ssh": ("cli.sandbox:ssh", "a shell, or a command, on one of its machines"),
    },
)  # fmt: skip
CLASS = Group(
    "one command for all students of a class", CLASS_EPILOG,
    {
        "new": ("cli.class_new:create", "read a roster; write class and stack files"),
        "exec": (
            "cli.class_exec:run",
            "run a command as root in every running server of the class; print a row for each",
        ),
        "snapshot": ("cli.class_snapshots:snapshot", "take a snapshot of the servers, for `reset`"),
        "reset": (
            "cli.class_snapshots:reset",
            "reset servers to a snapshot (asks first); keep their present state as before-reset",
        ),
        "preview": ("cli.class_runs:preview", "show what `up` would do, one line for each student"),
        "up": (
            "cli.class_runs:up",
            "bring the class up, repair it, or resume after a failure",
        ),
        "down": ("cli.class_runs:down", "take the class down; its files stay"),
        "sleep": (
            "cli.class_runs:put_to_sleep",
            "stop all servers; they keep their content, and `up` leaves them asleep",
        ),
        "wake": ("cli.class_runs:wake", "start the servers again"),
        "status": (
            "cli.class_reports:status",
            "show the recorded state of each student; contact no host",
        ),
        "card": (
            "cli.class_reports:card",
            "write a printable page for each student, and a table; both hold passwords",
        ),
        "check": (
            "cli.class_reports:check",
            "try every way to every server; exit 0 ok, 1 faults, 2 error",
        ),
    },
)  # fmt: skip
COMMANDS: Mapping[str, Command | Group] = {
    "demo": ("cli.demo:run", "make a sandbox with a lab host, an image and a student's lab"),
    "test": ("cli.tests:run", "run the test suite without its long tests, in sandboxes of its own"),
    "mutate": (
        "cli.mutate:run",
        "plant deliberate bugs, and check that the fast tests detect each; takes 15 minutes",
    ),
    "campaign": (
        "cli.campaign:run",
        "break runs in a sandbox in every known way, and check that nothing is lost; takes an hour",
    ),
    "bench": ("cli.bench:run", "measure Grappe beside an expert's script and Ansible"),
    "sandbox": SANDBOX,
    "env": ("cli.environment:show", 'print the variables for a plain pulumi: eval "$(./lab env)"'),
    "new": ("cli.new:run", "write the stack file of a student, an image or a lab host"),
    "up": ("cli.up:up", "bring a stack up, repair it, or resume after a failure"),
    "preview": ("cli.up:preview", "show what `up` would do"),
    "down": ("cli.down:down", "take a stack down, with all leftovers of unfinished runs"),
    "remove": (
        "cli.down:remove",
        "take a stack down, and remove its file, state, backups, history and logs",
    ),
    "forget": ("cli.down:forget", "drop the state of a lab whose host is gone for good"),
    "rename": (
        "cli.rename:run",
        "give a student's stack another name; its servers, ports and domains stay",
    ),
    "class": CLASS,
    "card": ("cli.card:run", "what a student types and clicks"),
    "check": ("cli.check:run", "try every way to every server; exit 0 ok, 1 faults, 2 error"),
    "top": ("cli.top:run", "host and containers side by side: processes, CPU, memory"),
    "explain": (
        "cli.explain:run",
        "the lines of the lab sheet that each resource replaces, with its values",
    ),
    "doctor": (
        "cli.doctor:run",
        "inspect a lab host, read only; exit 0 ok, 1 findings, 2 error",
    ),
    "graph": ("cli.graph:run", "a lab's topology, in the terminal or as a picture"),
    "ssh": ("cli.enter:run", "log in to a server, the way a student does"),
}


def parse(argv: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command line; return the command's `module:function`, and its arguments.

    `class exec` runs the words after the first `--`.
    """
    words = list(argv)
    if words[:2] != ["class", "exec"] or "--" not in words:
        made = _build(words)
        options, more = made.parse_known_args(words)
        # argparse takes a list of names in one piece: names behind an option remain in `more`.
        lists = ("students", "who") if words[:1] == ["class"] else ()
        names = next((key for key in lists if key in options), "")
        if more and (not names or any(word.startswith("-") for word in more)):
            hint = "; the command follows --" if words[:2] == ["class", "exec"] else ""
            made.error(f"unrecognized arguments: {' '.join(more)}{hint}")
        if more:
            setattr(options, names, [*getattr(options, names), *more])
    else:
        index = words.index("--")
        options = _build(words).parse_args(words[:index])
        options.command = words[index + 1 :]
    arguments = vars(options)
    return arguments.pop("run"), arguments


def _build(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; it knows the options of the command that the words name."""
    parser = argparse.ArgumentParser(
        prog="./lab",
        description="Grappe: a lab for every student of a class.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "Grappe's version and commit, and those of what it runs on"
    parser.add_argument(
        "--version", nargs=0, action=version.Version, default=argparse.SUPPRESS, help=text
    )
    _add(parser, "COMMAND", COMMANDS, words)
    return parser


def _add(
    parser: argparse.ArgumentParser,
    metavar: str,
    commands: Mapping[str, Command | Group],
    words: Sequence[str],
) -> None:
    parts = parser.add_subparsers(metavar=metavar, required=True)
    for name, command in commands.items():
        if isinstance(command, Group):
            made = parts.add_parser(
                name, help=command.summary, description=command.summary, epilog=command.epilog,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )  # fmt: skip
            _add(made, "ACTION", command.commands, words[1:] if words[:1] == [name] else ())
            continue
        run, text = command
        made = parts.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        if words[:1] == [name]:
            module, _, function = run.partition(":")
            options = getattr(importlib.import_module(module), f"{function}_options", None)
            if options is not None:
                options(made)
