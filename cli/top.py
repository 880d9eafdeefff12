"""`./lab top`: show the lab host and its containers side by side."""

from __future__ import annotations

import sys
import time

from cli import environment, labs, options, progress
from hosts import connections
from views import top

WATCH_SECONDS = 2


def run_options(parser: options.Parser) -> None:
    """Add the options of `top`."""
    options.stack(parser, "a stack, or a host's URL")
    options.as_json(parser)
    parser.add_argument("--watch", action="store_true", help="repeat until Ctrl-C")


def run(name: str, *, as_json: bool, watch: bool) -> int:
    """Print the table once, or repeatedly.

    Raises:
        errors.HostError: The host does not answer.
    """
    url = labs.host_of(name)
    environment.apply()
    host = connections.connect(url)
    while True:
        facts = host.call("remote.processes", {"seconds": 1.0})
        clear = "\x1b[H\x1b[2J" if watch and sys.stdout.isatty() else ""
        progress.answer(facts, f"{clear}{top.render(facts)}", as_json=as_json)
        sys.stdout.flush()
        if not watch:
            return 0
        try:
            time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return 0
