"""`./lab`: what Grappe does from a shell."""

from __future__ import annotations

import argparse
import importlib
import sys

EPILOG = """\
A golden image and a first student on a host of your own:
  ./lab new image --recipe yunohost-12 --host ssh://root@lab.example
  ./lab up image               minutes, once
  ./lab new alice --number 7 --host ssh://root@lab.example
  ./lab preview alice          what it would do
  ./lab up alice               do it; again to mend drift
  ./lab down alice             take it down

After `eval "$(./lab env)"` a plain `pulumi preview|up|refresh|destroy -s alice` does the same.
Exit status: 0 well, 1 it failed or the answer is no, 2 the command line is wrong.
"""


def main() -> int:
    """Run one command; an error is told in words."""
    options = _parser().parse_args()
    module, _, function = options.run.partition(":")
    from providers import errors  # noqa: PLC0415 - `--help` needs none of it

    try:
        return int(getattr(importlib.import_module(module), function)(options))
    except errors.GrappeError as error:
        sys.stderr.write(f"error: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; running it again is safe\n")
    except Exception as error:
        if type(error).__module__.startswith("pulumi.automation"):
            # What it streamed on the way says more; what it did not stream stands here alone.
            said = [line.strip() for line in str(error).splitlines() if "error:" in line]
            sys.stderr.write(f"error: pulumi failed: {said[-1] if said else 'see above'}\n")
        elif isinstance(error, OSError):
            sys.stderr.write(f"error: {error}\n")
        else:
            raise
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./lab",
        description="Grappe: a lab for every student of a class.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str,
        run: str,
        text: str,
        to: argparse._SubParsersAction | None = None,  # type: ignore[type-arg]
    ) -> argparse.ArgumentParser:
        made = (to or commands).add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    demo = add("demo", "cli.demo:run", "make a sandbox and a student's lab in it, and try it")
    demo.add_argument("--down", action="store_true", help="take lab and sandbox down again")
    demo.add_argument("--yes", "-y", action="store_true", help="do not ask")
    demo.add_argument("--json", action="store_true", help="print the card as JSON")

    test = add("test", "cli.tests:run", "run the whole test suite, in a sandbox of its own")
    test.add_argument("--fast", action="store_true", help="only what needs no root, under a minute")
    test.add_argument("--keep", action="store_true", help="leave the sandbox up for a look")
    test.add_argument("pytest", nargs="*", help="passed on to pytest: -- -k reboot")

    bench = add("bench", "cli.bench:run", "measure Grappe beside an expert's script and Ansible")
    parts_of_it = ("contest", "crowd", "fragments")
    bench.add_argument("parts", nargs="*", default=list(parts_of_it), metavar="PART",
                       help="contest, crowd, fragments (default: all three)")  # fmt: skip
    bench.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    bench.add_argument("--students", type=int, nargs="+", default=[1, 5, 10, 20])
    bench.add_argument("--fragments", type=int, nargs="+", default=[1, 100, 1000, 4000])
    bench.add_argument("--to", default="docs/benchmarks", help="where results and picture go")
    bench.add_argument("--json", action="store_true", help="print the results as JSON")

    sandbox = commands.add_parser("sandbox", help="the throwaway lab host, workstation and relay")
    parts = sandbox.add_subparsers(metavar="ACTION", required=True)
    parts_made = [
        add("up", "cli.sandbox:up", "bring it up; does nothing when it is", parts),
        add("down", "cli.sandbox:down", "take it down and leave nothing", parts),
    ]
    status = add("status", "cli.sandbox:status", "say what is there", parts)
    status.add_argument("--json", action="store_true", help="the same facts as JSON")
    ssh = add("ssh", "cli.sandbox:ssh", "a shell, or a command, on one of its machines", parts)
    ssh.add_argument("where", choices=("host", "workstation", "relay"))
    for part in (*parts_made, status, ssh):
        part.add_argument("--os", choices=("debian12-lxd", "debian13-incus", "debian12-bare"),
                          help="what the lab host is; each has a sandbox of its own")  # fmt: skip
    ssh.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")

    add("env", "cli.environment:show", 'for `eval "$(./lab env)"`: then a plain pulumi works')

    new = add("new", "cli.stack:new", "write the stack file of a student, or of an image")
    new.add_argument("name", help="the stack, and the student")
    new.add_argument("--number", type=int, default=0, help="1 to 4000, one a student and host")
    new.add_argument("--host", required=True, help="local: or ssh://[user@]host[:port]")
    new.add_argument("--workstation", default="", help="local: (default), ssh://..., or none")
    new.add_argument("--image", default="", help="an image of the lab host (default yunohost-12)")
    new.add_argument("--domain", default="", help="parent of the domains (default grappe.test)")
    new.add_argument("--post-install", action="store_true", help="post-install YunoHost, with a "
                     "password made for it")  # fmt: skip
    new.add_argument("--login", default="", help="its administrator (default: the student)")
    new.add_argument("--recipe", default="", help="an image instead, made by this recipe")
    new.add_argument("--alias", default="", help="the image's alias (default: the recipe's)")
    new.add_argument("--lab-host", action="store_true", help="a lab host instead, made out of the "
                     "bare server at --host")  # fmt: skip
    new.add_argument("--second-disk", default="", metavar="DISK",
                     help="of a lab host: the disk that is to mirror its root, as /dev/sdb")  # fmt: skip
    new.add_argument("--daemon", default="", choices=("", "lxd", "lxd-snap", "incus"),
                     help="of a lab host (default lxd)")  # fmt: skip
    up = add("up", "cli.stack:up", "bring a stack up, mend it, or go on after a failure")
    up.add_argument("name", help="the stack")
    up.add_argument("--rebuild", nargs="*", metavar="SERVER", help="make servers (all, where none "
                    "is named) anew from the image as it is now; what is in them goes")  # fmt: skip
    for name, text in (
        ("down", "take a stack down"),
        ("preview", "show what `up` would do"),
    ):
        add(name, f"cli.stack:{name}", text).add_argument("name", help="the stack")

    def looking(name: str, run: str, text: str) -> argparse.ArgumentParser:
        made = add(name, run, text)
        made.add_argument("--json", action="store_true", help="the same facts as JSON")
        return made

    card = looking("card", "cli.card:run", "what a student types and clicks")
    card.add_argument("name", help="the student's stack")
    check = looking("check", "cli.check:run", "try every way to every server; exit 0 well, 1 not, "
                    "2 could not look")  # fmt: skip
    check.add_argument("name", nargs="?", default="", help="the student's stack")
    check.add_argument("--all", action="store_true", help="every student's that is up")
    top = looking("top", "cli.top:run", "host and containers side by side: processes, CPU, memory")
    top.add_argument("name", help="a stack, or a host's URL")
    top.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    graph = add("graph", "cli.graph:run", "a lab's topology, in the terminal or as a picture")
    graph.add_argument("name", help="the student's stack")
    graph.add_argument("--svg", default="", metavar="FILE", help="a picture to project; - for "
                       "standard output")  # fmt: skip
    explain = looking("explain", "cli.explain:run", "which commands and lines of the lab sheet "
                      "each resource stands for, with this stack's values")  # fmt: skip
    explain.add_argument("name", help="the stack")
    enter = add("ssh", "cli.enter:run", "into a server, the way a student goes")
    enter.add_argument("name", help="the student's stack")
    enter.add_argument("server", help="the server")
    enter.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")
    doctor = looking("doctor", "cli.doctor:run", "look a lab host over, read only; exit 0 well, 1 "
                     "findings, 2 could not look")  # fmt: skip
    doctor.add_argument("host", help="the host's URL, or a stack that is on it")
    forget = add(
        "forget", "cli.stack:forget", "drop the state of a lab whose host is gone for good"
    )
    forget.add_argument("name", help="the stack")
    forget.add_argument("--yes", "-y", action="store_true", help="do not ask")
    return parser


if __name__ == "__main__":
    sys.exit(main())
