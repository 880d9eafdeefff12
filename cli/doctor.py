"""`./lab doctor`: check a lab host, read only."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from checks import health
from cli import environment, labs
from cli import stack as stacks
from hosts import connections
from providers.lxd import daemon

LOOK_SECONDS = 180


def run(options: argparse.Namespace) -> int:
    """Print the faults of a host, each with its remedy."""
    url = options.host if ":" in options.host else labs.spec_of(options.host).host
    environment.apply()
    host = connections.connect(url)
    request = {"sockets": daemon.SOCKETS, "store": host.store, "urls": []}
    facts = host.call("remote.surveys.health", request, timeout=LOOK_SECONDS)
    found = health.judge(facts, {f"{stacks.PROJECT}/{name}" for name in labs.names()})
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(finding) for finding in found]) + "\n")
    else:
        sys.stdout.write(render(host.url, facts["firewall"], found))
    return 1 if found else 0


def render(url: str, firewall: str, found: list[health.Finding]) -> str:
    """Return the findings as text."""
    lines = []
    for finding in found:
        lines.append(f"✗ {finding.what}")
        if finding.seen:
            lines.append(f"    seen: {finding.seen}")
        lines.append(f"    do:   {finding.do}")
    count = {0: "nothing is wrong", 1: "1 finding"}.get(len(found), f"{len(found)} findings")
    lines.append(f"{url}: {count}. LXD's firewall driver: {firewall or 'unknown'}.")
    return "\n".join(lines) + "\n"
