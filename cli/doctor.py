"""`./lab doctor`: check a lab host, read only."""

from __future__ import annotations

import concurrent.futures

from checks.doctor import firewall, lab_host
from checks.finding import Finding
from cli import check, environment, labs, options, progress
from cli import stack as stacks
from core import errors
from hosts import connections
from providers.lxd import client
from remote.surveys.facts import HealthFacts
from views import check as views

SURVEY_SECONDS = 180
INSPECT = (
    "on the host `iptables-save` and `nft list ruleset` show what drops packets, `ss -tlnp` who "
    "listens"
)


def run_options(parser: options.Parser) -> None:
    """Add the options of `doctor`."""
    options.as_json(parser)
    parser.add_argument("url", metavar="host", help="the host's URL, or a stack that is on it")


def run(url: str, *, as_json: bool) -> int:
    """Print the faults of a host, each with its remedy."""
    url = labs.host_of(url)
    environment.apply()
    host = connections.connect(url)
    request = {"sockets": client.SOCKETS, "store": host.store, "urls": []}
    facts = host.call("remote.surveys.health", request, timeout=SURVEY_SECONDS)
    findings = lab_host.judge(facts, {f"{stacks.PROJECT}/{name}" for name in labs.names()})
    findings += judge(facts, closed_ways(host.url))
    progress.answer(findings, render(host.url, facts["firewall"], findings), as_json=as_json)
    return 1 if findings else 0


def closed_ways(url: str) -> list[tuple[str, views.Row]]:
    """Return the servers with faults, each with its stack: of this folder's labs on a host."""
    names = labs.names()
    with concurrent.futures.ThreadPoolExecutor(check.TOGETHER) as pool:
        found = pool.map(lambda name: _failing_rows(name, url), names)
        return [(name, row) for name, rows in zip(names, found, strict=True) for row in rows]


def _failing_rows(name: str, url: str) -> list[views.Row]:
    try:
        lab = labs.load(name)
        rows = check.check_lab(name)[0] if lab.cards and lab.spec.host == url else []
    except errors.GrappeError:
        # A stack of another kind, or one that cannot be read: `./lab check` reports it.
        return []
    return [row for row in rows if not row.ok]


def judge(facts: HealthFacts, closed: list[tuple[str, views.Row]]) -> list[Finding]:
    """Return a finding for each server with faults, and possible causes of unexplained ones."""
    findings = []
    for name, row in closed:
        # Doctor must not recommend itself.
        do = f"./lab up {name}; where that does not help: {INSPECT}" if row.unexplained else row.do
        findings.append(Finding(f"{row.student}/{row.server}: {row.why}", do))
    if any(row.unexplained for _name, row in closed):
        findings += firewall.limits(facts)
    return findings


def render(url: str, firewall: str, findings: list[Finding]) -> str:
    """Return the findings as text."""
    lines = []
    for finding in findings:
        lines.append(f"✗ {finding.what}")
        if finding.seen:
            lines.append(f"    seen: {finding.seen}")
        lines.append(f"    do:   {finding.do}")
    count = {0: "nothing is wrong", 1: "1 finding"}.get(len(findings), f"{len(findings)} findings")
    lines.append(f"{url}: {count}. LXD's firewall driver: {firewall or 'unknown'}.")
    return "\n".join(lines) + "\n"
