"""Measure one more rule, one more backend and one request on a host that has many already."""

from __future__ import annotations

import json

from bench import timing
from bench.testbed import Testbed
from hosts import connections
from hosts.host import Host
from providers.haproxy import model as backends
from providers.haproxy.resource import BackendProvider
from providers.nat import model as rules
from providers.nat.resource import RuleProvider

OWNER = "grappe/many"
# An address that leads nowhere (RFC 5737).
NOWHERE = "192.0.2.1"
# Writes fragments into the store, as if earlier transactions had.
_FILL = """
import json, os, sys
for folder, name, fragment in json.load(sys.stdin):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w") as stream:
        json.dump(fragment, stream, indent=1, sort_keys=True)
"""


def run(testbed: Testbed, sizes: list[int], rounds: int) -> list[dict[str, float]]:
    """Return for each size {fragments, rule, backend, reloads, request, requests, failures}.

    The times are medians in seconds, the request in ms; reloads count all measured changes; the
    bystander watches one more change, and then asks for fifty pages.
    """
    host = connections.connect(testbed.layout.host_url)
    nat, haproxy = RuleProvider().driver(host), BackendProvider().driver(host)
    rows = []
    testbed.up_bystander()
    for size in sizes:
        _fill(testbed, host, size)
        times: dict[str, list[float]] = {"rule": [], "backend": []}
        worker, reloads = _worker(testbed), 0
        for turn in range(rounds):
            rule, backend = _rule(host.url, 5000 + turn), _backend(host.url, 5000 + turn)
            times["rule"].append(timing.seconds(nat.create, rule))
            times["backend"].append(timing.seconds(haproxy.create, backend))
            nat.delete(rule)
            haproxy.delete(backend)
            reloads += worker != _worker(testbed)
            worker = _worker(testbed)
        medians = {kind: timing.median(seconds) for kind, seconds in times.items()}
        with testbed.bystander() as watching:
            nat.create(rule)
            haproxy.create(backend)
            nat.delete(rule)
            haproxy.delete(backend)
        row = {
            "fragments": size,
            **medians,
            "reloads": reloads,
            "request": testbed.request_time(50),
            **watching.seen,
        }
        rows.append(row)
    _fill(testbed, host, 0)
    testbed.down("bystander")
    return rows


def _fill(testbed: Testbed, host: Host, size: int) -> None:
    """Fill the host's store with `size` rules and backends of ours, compiled and live."""
    nat, haproxy = RuleProvider().driver(host), BackendProvider().driver(host)
    script = "rm -f /var/lib/grappe/*/fragments/grappe+many+*.json"
    testbed.host("sh", "-c", f"'{script}'")
    files = []
    for number in range(1, size):
        for target, fragment in (
            ("nat", rules.fragment(_rule(host.url, number))),
            ("haproxy", backends.fragment(_backend(host.url, number))),
        ):
            name = fragment.id.replace("/", "+") + ".json"
            files.append([f"/var/lib/grappe/{target}/fragments", name, fragment.as_json()])
    testbed.host("python3", "-c", f"'{_FILL}'", stdin=json.dumps(files).encode())
    # One more change compiles them all; with size 0 it removes the last ones.
    rule, backend = _rule(host.url, 4999), _backend(host.url, 4999)
    nat.create(rule)
    haproxy.create(backend)
    if not size:
        nat.delete(rule)
        haproxy.delete(backend)


def _worker(testbed: Testbed) -> str:
    """Return HAProxy's serving process; each reload makes another."""
    script = "'pgrep -P $(systemctl show -p MainPID --value haproxy) | sort -n | tail -n 1'"
    return testbed.host("sh", "-c", script)


def _rule(url: str, number: int) -> rules.RuleSpec:
    return rules.RuleSpec(
        host=url, owner=OWNER, name=f"r{number}", port=30000 + number, target_address=NOWHERE,
        target_port=22, comment=f"r{number}",
    )  # fmt: skip


def _backend(url: str, number: int) -> backends.BackendSpec:
    return backends.BackendSpec(
        host=url, owner=OWNER, name=f"b{number}", domains=(f"b{number}.many.test",),
        address=NOWHERE,
    )  # fmt: skip
