"""Run the test suite, on a machine with nothing installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cli import environment, options
from hosts import command
from sandbox import lifecycle
from sandbox.layout import Layout

SANDBOX = "grappe-test"
# After the first: the other workers', and those of single tests: another lab host to move a lab to,
# one with Incus, a bare one, and the demo's.
SANDBOXES = (SANDBOX, "grappe-test-gw1", "grappe-test-gw2", "grappe-other", "grappe-test-incus",
             "grappe-test-bare", "grappe-test-demo")  # fmt: skip


def run_options(parser: options.Parser) -> None:
    """Add the options of `test`."""
    text = "only what needs no root, under a minute"
    parser.add_argument("--fast", action="store_true", help=text)
    text = "the long tests alone; docs/reliability.md has their last run"
    parser.add_argument("--long", action="store_true", help=text)
    parser.add_argument("--keep", action="store_true", help="leave the sandbox up")
    parser.add_argument("pytest", nargs="*", help="passed on to pytest: -- -k reboot")


def run(pytest: Sequence[str], *, fast: bool, long: bool, keep: bool) -> int:
    """Run the suite; with --fast, only tests without root and sandbox; with --long, the long ones.

    A test that the arguments name runs, also a long one.
    """
    # `-m pytest` and not a call, so that coverage and plugins see a process of their own.
    # Three files at a time, each worker with a sandbox of its own: most tests wait for a host. In
    # order of their paths: the short files of tests/unit come last, and end all workers together.
    chosen = any(word[:2] in ("-k", "-m") or word.startswith("tests/") for word in pytest)
    kinds = ["-m", "long" if long else "not long"] if long or not chosen else []
    argv = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadfile",
            "--no-loadscope-reorder", *kinds, *pytest]  # fmt: skip
    if fast:
        os.execv(argv[0], [*argv, "-m", "not sandbox and not engine"])  # noqa: S606
    from cli import sandbox as commands  # noqa: PLC0415

    layout = Layout(SANDBOX)
    commands.have_packages(browser=True)
    environment.have_engine()
    # Sandboxes that a killed run left would falsify the tests.
    _clear()
    commands.bring_up(layout)
    os.environ["GRAPPE_SANDBOX"] = SANDBOX
    environment.apply()
    try:
        return command.attach(argv)
    finally:
        if not keep:
            _clear()


def _clear() -> None:
    """Take down every sandbox that the tests bring up."""
    for name in SANDBOXES:
        lifecycle.down(Layout(name))
