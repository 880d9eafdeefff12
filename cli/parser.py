"""The command line of `./lab`: every command, its options, and help that teaches."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cli import version
from core import names

EPILOG = """\
A golden image and a first student on a host of your own:
  ./lab new image --recipe yunohost-12 --host ssh://root@lab.example
  ./lab up image               minutes, once
  ./lab new alice --host ssh://root@lab.example
  ./lab preview alice          what it would do
  ./lab up alice               do it; again to mend drift
  ./lab card alice             what she types and clicks
  ./lab check --all            does all of it answer?
  ./lab down alice             take it down
  ./lab class --help           thirty of them by one command

After `eval "$(./lab env)"` a plain `pulumi preview|up|refresh|destroy -s alice` does the same.
Exit status: 0 ok, 1 failure or findings, 2 wrong command line, or `check` or `doctor` itself
failed.
"""
SYSTEMS = ("debian12-lxd", "debian13-incus", "debian12-bare")
STACK = "the stack"
DO_NOT_ASK = "do not ask"
# The default number of students of a class at once.
JOBS = 4
Commands = Any


def build() -> argparse.ArgumentParser:
    """Return the parser; each command's `run` names its module and function."""
    parser = argparse.ArgumentParser(
        prog="./lab",
        description="Grappe: a lab for every student of a class.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "Grappe's version and commit, and those of what it runs on"
    parser.add_argument("--version", nargs=0, action=version.Version, help=text)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _project(commands)
    _sandbox(commands)
    _stacks(commands)
    _class(commands)
    _looks(commands)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; `class exec` runs the words after the first `--`."""
    words = list(argv)
    if words[:2] != ["class", "exec"] or "--" not in words:
        made = build()
        options, more = made.parse_known_args(words)
        # argparse takes a list of names in one piece: not those behind an option.
        lists = ("students", "who") if words[:1] == ["class"] else ()
        names = next((key for key in lists if key in options), "")
        if more and (not names or any(word.startswith("-") for word in more)):
            made.error(f"unrecognized arguments: {' '.join(more)}{_hint(words)}")
        if more:
            setattr(options, names, [*getattr(options, names), *more])
        return options
    index = words.index("--")
    options = build().parse_args(words[:index])
    options.command = words[index + 1 :]
    return options


def _hint(words: list[str]) -> str:
    return "; the command follows --" if words[:2] == ["class", "exec"] else ""


def _add(commands: Commands, name: str, run: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    made.set_defaults(run=run)
    return made


def _project(commands: Commands) -> None:
    """Add the commands that show, test and measure Grappe itself."""
    demo = _add(
        commands, "demo", "cli.demo:run", "make a sandbox and the whole chain of labs in it"
    )
    demo.add_argument("--down", action="store_true", help="take lab and sandbox down again")
    demo.add_argument("--yes", "-y", action="store_true", help="do not ask")
    demo.add_argument("--json", action="store_true", help="print the card as JSON")

    test = _add(
        commands, "test", "cli.tests:run", "run the whole test suite, in a sandbox of its own"
    )
    test.add_argument("--fast", action="store_true", help="only what needs no root, under a minute")
    test.add_argument("--keep", action="store_true", help="leave the sandbox up")
    test.add_argument("pytest", nargs="*", help="passed on to pytest: -- -k reboot")

    text = "plant deliberate bugs, and see whether the fast tests notice; minutes"
    mutate = _add(commands, "mutate", "cli.mutate:run", text)
    mutate.add_argument(
        "--only", default="", metavar="WORDS", help="only those whose name contains this"
    )
    mutate.add_argument("--json", action="store_true", help="print the outcomes as JSON")

    text = "break runs in every way we know in a sandbox, and see that nothing is lost; an hour"
    campaign = _add(commands, "campaign", "cli.campaign:run", text)
    campaign.add_argument(
        "parts", nargs="*", default=["values", "kills", "faults", "labs", "class"],
        metavar="PART", help="values, kills, faults, labs, class (default: all)",
    )  # fmt: skip
    campaign.add_argument("--hours", type=float, default=0, help="repeat for this long")
    campaign.add_argument("--moments", type=int, default=30, help="how many kills of each stack")
    campaign.add_argument("--fault", action="append", help="only this one, by its name")
    campaign.add_argument("--stacks", type=int, default=12, help="how many labs at once")
    campaign.add_argument("--rounds", type=int, default=10, help="how many rounds of them")
    campaign.add_argument("--students", type=int, default=6, help="how many in the class")
    campaign.add_argument("--seed", type=int, default=0, help="what an earlier one printed")
    campaign.add_argument("--json", action="store_true", help="print the outcomes as JSON")

    text = "measure Grappe beside an expert's script and Ansible"
    bench = _add(commands, "bench", "cli.bench:run", text)
    bench.add_argument(
        "parts", nargs="*", default=["contest", "crowd", "fragments", "class", "connection"],
        metavar="PART", help="contest, crowd, fragments, class, connection (default: all)",
    )  # fmt: skip
    bench.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    bench.add_argument("--students", type=int, nargs="+", default=[1, 5, 10, 20])
    bench.add_argument("--classes", type=int, nargs="+", default=[20])
    bench.add_argument("--fragments", type=int, nargs="+", default=[1, 100, 1000, 4000])
    bench.add_argument("--minutes", type=float, default=15, help="how long a connection is kept")
    bench.add_argument("--to", default="docs/benchmarks", help="where results and picture go")
    bench.add_argument("--json", action="store_true", help="print the results as JSON")


def _sandbox(commands: Commands) -> None:
    sandbox = commands.add_parser("sandbox", help="the throwaway lab host, workstation and relay")
    parts = sandbox.add_subparsers(metavar="ACTION", required=True)
    up = _add(parts, "up", "cli.sandbox:up", "bring it up; does nothing if it is up")
    down = _add(parts, "down", "cli.sandbox:down", "take it down and leave nothing")
    status = _add(parts, "status", "cli.sandbox:status", "show its status")
    status.add_argument("--json", action="store_true", help="the same facts as JSON")
    ssh = _add(parts, "ssh", "cli.sandbox:ssh", "a shell, or a command, on one of its machines")
    ssh.add_argument("machine", choices=("host", "workstation", "relay"))
    for part in (up, down, status, ssh):
        part.add_argument(
            "--os", choices=SYSTEMS, help="the lab host's system; each has a sandbox of its own"
        )
    ssh.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")


def _stacks(commands: Commands) -> None:
    """Add the commands that make stacks, bring them up and take them down."""
    text = 'for `eval "$(./lab env)"`: then a plain pulumi works'
    _add(commands, "env", "cli.environment:show", text)
    text = "write the stack file of a student, an image or a lab host"
    new = _add(commands, "new", "cli.new:new", text)
    new.add_argument("name", help="the stack, and the student")
    new.add_argument("--host", required=True, help="local: or ssh://[user@]host[:port]")
    new.add_argument(
        "--number",
        type=int,
        help="1 to 4000, one a student and host; by default the first free one",
    )
    new.add_argument("--workstation", default="", help="local: (default), ssh://..., or none")
    new.add_argument("--image", default="", help="an image of the lab host (default yunohost-12)")
    new.add_argument("--domain", default="", help="parent of the domains (default grappe.test)")
    text = "post-install YunoHost, with a generated password"
    new.add_argument("--post-install", action="store_true", help=text)
    new.add_argument("--login", default="", help="its administrator (default: the student)")
    new.add_argument("--recipe", default="", help="an image instead, made by this recipe")
    new.add_argument("--alias", default="", help="the image's alias (default: the recipe's)")
    text = "a server on the internet that the lab answers on too: ssh://[user@]relay"
    new.add_argument("--relay", default="", help=text)
    text = "a lab host instead: prepare the bare server at --host"
    new.add_argument("--lab-host", action="store_true", help=text)
    _set(new)
    text = "of a lab host: the disk that mirrors its root, as /dev/sdb"
    new.add_argument("--second-disk", default="", metavar="DISK", help=text)
    text = "of a lab host (default lxd)"
    new.add_argument("--daemon", default="", choices=names.DAEMONS, help=text)

    text = "bring a stack up, repair it, or resume after a failure"
    up = _add(commands, "up", "cli.up:up", text)
    up.add_argument("name", help=STACK)
    text = "recreate servers (by default all) from the current image"
    up.add_argument(
        "--rebuild", nargs="*", metavar="SERVER", help=f"{text}; this deletes their content"
    )
    up.add_argument("--yes", "-y", action="store_true", help=DO_NOT_ASK)
    text = "show what `up` would do"
    _add(commands, "preview", "cli.up:preview", text).add_argument("name", help=STACK)
    for name, text in (
        ("down", "take a stack down, with all leftovers of unfinished runs"),
        ("remove", "take a stack down, and remove its file, state, backups, history and logs"),
        ("forget", "drop the state of a lab whose host is gone for good"),
    ):
        made = _add(commands, name, f"cli.down:{name}", text)
        made.add_argument("name", help=STACK)
        made.add_argument("--yes", "-y", action="store_true", help=DO_NOT_ASK)
    text = "give a student's stack another name; the lab goes on as it is"
    rename = _add(commands, "rename", "cli.rename:run", text)
    rename.add_argument("old", help=STACK)
    rename.add_argument("name", help="its new name")


CLASS_EPILOG = """\
  ./lab class new tp1 --roster export.csv --host ssh://root@lab.example --post-install
  ./lab class preview tp1      what it would do, a line a student
  ./lab class up tp1           do it; again to resume, and to mend drift
  ./lab class check tp1        does all of it answer?
  ./lab class up tp1 adele zoe     only these two
  ./lab class down tp1

The roster is what Moodle, Pronote or a spreadsheet exports as CSV: a column with the name, or one
each for first and last name; e-mail, id, group and key where they are. Run again with a newer
roster, `new` adds new students, names those who have left, and takes nobody down. Each run logs to
.state/logs/CLASS/STUDENT.log. Exit status: 0 all ok, 1 some failed or do not answer, 2 wrong
command line, or `check` itself failed.
"""


def _class(commands: Commands) -> None:
    """Add the commands for all students of a class."""
    text = "one command for all students of a class"
    group = commands.add_parser(
        "class", help=text, description=text, epilog=CLASS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parts = group.add_subparsers(metavar="ACTION", required=True)
    made = _add(parts, "new", "cli.class_new:create", "read a roster; write class and stack files")
    made.add_argument("name", metavar="CLASS", help="the class: small letters, digits, dashes")
    made.add_argument("--roster", required=True, metavar="FILE", help="a CSV export")
    made.add_argument("--host", default="", help="the lab host, when the class is new")
    made.add_argument("--image", default="", help="of each server (default yunohost-12)")
    made.add_argument("--domain", default="", help="parent of the domains (default grappe.test)")
    made.add_argument("--workstation", default="", help="local: (default), ssh://..., or none")
    made.add_argument("--relay", default="", help="a server on the internet: ssh://[user@]relay")
    text = "post-install YunoHost on each server, with a generated password for each student"
    made.add_argument("--post-install", action="store_true", help=text)
    _set(made)
    _class_exec(parts)
    _class_snapshots(parts)
    for name, function, text in (
        ("preview", "class_runs:preview", "show what `up` would do, a line a student"),
        ("up", "class_runs:up", "bring the class up, repair it, or resume after a failure"),
        ("down", "class_runs:down", "take the class down; its files stay"),
        (
            "sleep",
            "class_runs:put_to_sleep",
            "stop all servers; what is in them stays, and `up` leaves them asleep",
        ),
        ("wake", "class_runs:wake", "start the servers again"),
        (
            "status",
            "class_reports:status",
            "show what is recorded of each student; contacts no host",
        ),
        (
            "card",
            "class_reports:card",
            "write a page a student to print, and a table, with their passwords",
        ),
        (
            "check",
            "class_reports:check",
            "try every way to every server; exit 0 ok, 1 faults, 2 error",
        ),
    ):
        part = _add(parts, name, f"cli.{function}", text)
        part.add_argument("name", metavar="CLASS", help="the class")
        part.add_argument(
            "students", nargs="*", metavar="STUDENT", help="only these, by their labels"
        )
        part.add_argument("--json", action="store_true", help="the same facts as JSON")
        if name in {"preview", "up", "down", "sleep", "wake"}:
            part.add_argument(
                "--jobs", type=_count, default=JOBS, help=f"how many at once ({JOBS})"
            )
        if name == "up":
            part.add_argument(
                "--anyway", action="store_true", help="even if the lab host has too little room"
            )
        if name == "down":
            part.add_argument("--yes", "-y", action="store_true", help=DO_NOT_ASK)


def _count(text: str) -> int:
    """Return a number of jobs or seconds; argparse reports any other text."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _set(command: argparse.ArgumentParser) -> None:
    text = "another setting, as in a stack file: --set language=fr --set 'servers=[{name: web}]'"
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)


def _class_exec(parts: Commands) -> None:
    text = "run a command as root in every server of the class that is up, a row each"
    part = _add(parts, "exec", "cli.class_exec:run", text)
    part.add_argument("name", metavar="CLASS", help="the class")
    text = "only these students, or servers of theirs: adele zoe:yuno2"
    part.add_argument("--only", nargs="+", metavar="STUDENT[:SERVER]", help=text)
    part.add_argument(
        "--jobs", type=_count, default=4 * JOBS, help=f"how many at once ({4 * JOBS})"
    )
    part.add_argument("--timeout", type=_count, default=60, help="seconds for each (60)")
    part.add_argument("--json", action="store_true", help="the same facts as JSON, a line a server")
    part.usage = f"{part.prog} [options] CLASS -- COMMAND..."
    part.epilog = (
        "The command follows --; one word is a line for sh. Root on the lab host can read it there."
    )
    part.set_defaults(command=[])


def _class_snapshots(parts: Commands) -> None:
    text = "take a snapshot of the servers, for `reset`"
    part = _add(parts, "snapshot", "cli.class_snapshots:snapshot", text)
    part.add_argument("name", metavar="CLASS", help="the class")
    part.add_argument("snapshot", metavar="NAME", help="the snapshot: before-haproxy")
    _whom(part)
    text = "reset servers to a snapshot after a question; keep their present state as before-reset"
    part = _add(parts, "reset", "cli.class_snapshots:reset", text)
    part.add_argument("name", metavar="CLASS", help="the class")
    _whom(part)
    text = "which snapshot (default: the latest; before-reset undoes a reset)"
    part.add_argument("--to", default="", metavar="NAME", help=text)
    part.add_argument("--yes", "-y", action="store_true", help=DO_NOT_ASK)


def _whom(part: argparse.ArgumentParser) -> None:
    text = "only these students, or servers of theirs: adele zoe:yuno2"
    part.add_argument("who", nargs="*", metavar="STUDENT[:SERVER]", help=text)
    part.add_argument("--jobs", type=_count, default=JOBS, help=f"how many at once ({JOBS})")
    part.add_argument("--json", action="store_true", help="the same facts as JSON, a line a server")


def _looks(commands: Commands) -> None:
    """Add the read-only commands."""
    made = {}
    for name, text in (
        ("card", "what a student types and clicks"),
        ("check", "try every way to every server; exit 0 ok, 1 faults, 2 error"),
        ("top", "host and containers side by side: processes, CPU, memory"),
        ("explain", "the lines of the lab sheet that each resource replaces, with its values"),
        ("doctor", "inspect a lab host, read only; exit 0 ok, 1 findings, 2 error"),
    ):
        made[name] = _add(commands, name, f"cli.{name}:run", text)
        made[name].add_argument("--json", action="store_true", help="the same facts as JSON")
    for name in ("card", "explain"):
        made[name].add_argument("name", help=STACK)
    made["check"].add_argument("name", nargs="?", default="", help="the student's stack")
    made["check"].add_argument("--all", action="store_true", help="every student's that is up")
    made["top"].add_argument("name", help="a stack, or a host's URL")
    made["top"].add_argument("--watch", action="store_true", help="repeat until Ctrl-C")
    made["doctor"].add_argument("host", help="the host's URL, or a stack that is on it")
    text = "a lab's topology, in the terminal or as a picture"
    graph = _add(commands, "graph", "cli.graph:run", text)
    graph.add_argument("name", help=STACK)
    text = "a picture to project; - for standard output"
    graph.add_argument("--svg", default="", metavar="FILE", help=text)
    enter = _add(commands, "ssh", "cli.enter:run", "log in to a server, the way a student does")
    enter.add_argument("name", help=STACK)
    enter.add_argument("server", help="the server")
    enter.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")
