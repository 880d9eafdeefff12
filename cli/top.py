"""`./lab top`: show the lab host and its containers side by side."""

from __future__ import annotations

import argparse
import json
import sys
import time

from cli import environment, labs
from hosts import connections
from views import top

WATCH_SECONDS = 2


def run(options: argparse.Namespace) -> int:
    """Print the table once, or repeatedly."""
    url = options.name
    if ":" not in url:
        url = labs.spec_of(url).host
    environment.apply()
    host = connections.connect(url)
    while True:
        facts = host.call("remote.processes", {"seconds": 1.0})
        if options.json:
            sys.stdout.write(json.dumps(facts) + "\n")
        else:
            clear = "\x1b[H\x1b[2J" if options.watch and sys.stdout.isatty() else ""
            sys.stdout.write(f"{clear}{top.render(facts)}")
        sys.stdout.flush()
        if not options.watch:
            return 0
        time.sleep(WATCH_SECONDS)
