"""`./lab check`: try every way to every server now."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from checks import losses
from cli import drift, environment, labs, options, stack
from core import errors, shared_answers
from core.names import INSTALLED
from hosts import connections
from hosts.host import Host
from providers.lxd import client, daemon
from providers.lxd.container import network_faults
from providers.lxd.postinstall import inside as postinstall
from providers.lxd.postinstall import model, services
from stacks import ways
from stacks.server import ServerSpec
from views import check

# The number of students that it checks at once.
TOGETHER = 16
REACH_SECONDS = 60
# Seconds in which requests of the same kind, of several students' checks, are gathered into one.
GATHER_SECONDS = 0.03
FAULTY, UNCHECKED = 1, 2
# The end of what a tunnel's driver reports of one that still works.
BY_HAND = "was changed by hand"


def run_options(parser: options.Parser) -> None:
    """Add the options of `check`."""
    parser.add_argument("name", nargs="?", default="", help="the student's stack")
    parser.add_argument(
        "--all", dest="every", action="store_true", help="every student's lab that is up"
    )
    options.as_json(parser)


def run(name: str, *, every: bool, as_json: bool) -> int:
    """Check one student's lab, or all; exit 0 without faults, 1 with faults, 2 on an error.

    Raises:
        errors.BadInputError: Neither a stack nor `--all` is given, or both are.
    """
    if every == bool(name):
        raise errors.BadInputError(
            "name one lab, or pass --all", do="./lab check STACK, or ./lab check --all"
        )
    names = labs.names() if every else [name]
    return report(*check_labs(names, skip_others=every), as_json=as_json)


def check_labs(
    names: Sequence[str], *, skip_others: bool = False
) -> tuple[list[check.Row], dict[str, list[drift.Drift]], list[str]]:
    """Check labs, many at once; return rows, drifts and unchecked stacks as `report` takes them."""
    drift.preload()
    rows: list[check.Row] = []
    drifts: dict[str, list[drift.Drift]] = {}
    unchecked: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        checks = {name: pool.submit(check_lab, name, skip_others=skip_others) for name in names}
        try:
            for name, checked in checks.items():
                try:
                    checked_rows, drifts[name] = checked.result()
                    rows += checked_rows
                except errors.GrappeError as error:
                    unchecked.append(f"{name}: {error}")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows, drifts, unchecked


def report(
    rows: list[check.Row],
    drifts: Mapping[str, list[drift.Drift]],
    unchecked: list[str],
    *,
    as_json: bool,
    down: Mapping[str, str] | None = None,
) -> int:
    """Print the results; return the exit status.

    Args:
        rows: A server each.
        drifts: The drifted resources, by stack.
        unchecked: The stacks that could not be checked, each with the reason.
        as_json: Whether to print JSON.
        down: Students whose lab is down, each with the command that brings it up.
    """
    if as_json:
        content = {
            "servers": [check.as_json(row) for row in rows], "not_looked": unchecked,
            "down": list(down or ()),
            "drift": {name: [dataclasses.asdict(each) for each in found]
                      for name, found in drifts.items() if found},
        }  # fmt: skip
        sys.stdout.write(json.dumps(content) + "\n")
    elif rows or down:
        kinds = {name: [each.kind for each in found] for name, found in drifts.items()}
        language = environment.language()
        sys.stdout.write(check.render(rows, kinds, language, down, len(unchecked)))
    for text in unchecked:
        sys.stderr.write(f"error: {text}\n")
    if not rows and not unchecked and not down:
        sys.stderr.write("no student's lab of this folder is up; to bring one up: ./lab up STACK\n")
    if unchecked:
        return UNCHECKED
    return 0 if all(row.ok for row in rows) and not down else FAULTY


def check_lab(name: str, *, skip_others: bool = False) -> tuple[list[check.Row], list[drift.Drift]]:
    """Return the checked servers of one lab, and its drifted resources.

    Args:
        name: The stack.
        skip_others: Whether to return nothing for a stack that is down or no student's lab.

    Raises:
        labs.OtherKindError: The stack is no student's lab.
        errors.BadInputError: The lab is down, or its stack file is invalid.
        errors.HostError: A host does not answer, or the lab was made on another machine.
    """
    try:
        lab = labs.load(name)
    except labs.OtherKindError:
        if skip_others:
            return [], []
        raise
    if skip_others and not lab.cards and not labs.is_unfinished(lab):
        return [], []
    labs.demand_up(lab)
    spec = lab.spec
    host = connections.connect(spec.host)
    _demand_same_machine(name, host)
    lxd = client.on(host)
    try:
        found = lxd.get("instances", project=spec.project, recursion="1")
    except daemon.AbsentError:
        found = []
    from providers.lxd.container import driver  # noqa: PLC0415 - `drift.preload` imports it

    driver.remember(lxd, spec.project, found)
    states = {item["name"]: item["status"] for item in found}
    names = [server.name for server in spec.servers]
    strangers = losses.strangers(found, spec.owner, spec.id, names)
    tried = _ways(lab)
    requests = shared_answers.about(host, "requests", _requests, gather=GATHER_SECONDS).answer(host)
    rows = []
    for server in spec.servers:
        results = {
            "container": states.get(server.name, check.ABSENT), "renamed": strangers,
            "program": lxd.program,
            "asked": requests.get(server.address), **_installed(host, lxd, lab, server.name),
        }  # fmt: skip
        ways_tried = tried.get(server.name, {})
        results |= ways_tried
        closed = [kind for kind, result in ways_tried.items() if not result["ok"]]
        if closed and server.state == "running":
            results |= _refusals(host, lxd, lab, server, closed)
            results["inside"] = results.get("inside") or _network_faults(lxd, lab, server, closed)
        rows.append(check.row(spec, server, results, name))
    drifted = drift.find(name)
    for each in drifted:
        if each.kind == "Tunnel" and not each.words[0].endswith(BY_HAND):
            rows = [check.cut_off(row, "; ".join(each.words), name) for row in rows]
    return rows, drifted


def _refusals(
    host: Host, lxd: daemon.Daemon, lab: labs.Lab, server: ServerSpec, closed: Sequence[str]
) -> dict[str, object]:
    """Return signs of why a server's ways do not answer: `refuses`, `banned` and `shut`."""
    dialled = {
        ways.PORTS[way]: str(host.call("remote.dial", {
            "address": server.address, "port": ways.PORTS[way], "seconds": 0}))
        for way in closed
    }  # fmt: skip
    refuses = "refused" in dialled.get(ways.PORTS[ways.HTTP], "")
    shut = [port for port, error in dialled.items() if "timed out" in error]
    banned: list[str] | None
    try:
        banned = postinstall.banned(lxd, lab.spec.project, server.name)
    except (errors.DaemonError, daemon.AbsentError):
        # It does not run, is gone, or has no fail2ban.
        banned = None
    # Requests for pages come from the gateway's address, ssh from people's own.
    gateway, by_ssh, by_web = lab.spec.gateway, ways.SSH in closed, {*closed} - {ways.SSH}
    relevant = [each for each in banned or () if (by_web if each == gateway else by_ssh)]
    # If its fail2ban answers, its bans decide: a refused connection alone may mean another cause.
    return {"refuses": refuses and banned is None, "banned": relevant, "shut": shut}


def _network_faults(
    lxd: daemon.Daemon, lab: labs.Lab, server: ServerSpec, closed: Sequence[str]
) -> list[str]:
    """Return the faults in a server's network that keep its ways closed, a line each."""
    ports = [ways.PORTS[kind] for kind in closed]
    try:
        return network_faults.find(lxd, lab.spec.project, server.name, server.address, ports)
    except (errors.DaemonError, daemon.AbsentError):
        # It does not run, or is gone.
        return []


def _demand_same_machine(name: str, host: Host) -> None:
    """Refuse to check a lab on another machine than the one that it was made on."""
    recorded = {
        item["outputs"]["machine_id"]
        for item in stack.recorded(name)
        if (item.get("outputs") or {}).get("machine_id") and item["inputs"].get("host") == host.url
    }
    if recorded and host.machine_id not in recorded:
        raise errors.HostError(
            f"{host.url} is another machine than the one that {name} was made on",
            seen=f"machine-id {host.machine_id}, and at the last `up` {', '.join(recorded)}",
            do=f"if the old one is gone for good: ./lab forget {name}, then ./lab up {name}",
        )


def _ways(lab: labs.Lab) -> dict[str, Mapping[str, Any]]:
    """Try every way from the workstation; return the results by server."""
    if lab.spec.workstation == "none":
        return {}
    tried = [
        (card["name"], way)
        for card in lab.cards
        for way in ways.checks(card["ssh"]["port"], card["domain"])
    ]
    address = lab.cards[0]["ssh"]["host"]
    checks = [{**dataclasses.asdict(way), "address": address} for _name, way in tried]
    workstation = connections.connect(lab.spec.workstation)
    seen = shared_answers.about(workstation, "ways", _try_all, gather=GATHER_SECONDS).answer(
        (workstation, checks)
    )
    found: dict[str, Any] = {}
    for (name, way), asked in zip(tried, checks, strict=True):
        found.setdefault(name, {})[way.kind] = seen[json.dumps(asked)]
    return found


def _try_all(asked: Sequence[tuple[Host, list[dict[str, Any]]]]) -> dict[str, Mapping[str, Any]]:
    """Try the ways of several labs by one request; return the results by check, as JSON."""
    checks = {json.dumps(each): each for _host, checks in asked for each in checks}
    request = {"checks": list(checks.values()), "seconds": 0}
    results = asked[0][0].call("remote.reachability", request, timeout=REACH_SECONDS, root=False)
    return dict(zip(checks, results, strict=True))


def _requests(hosts: Sequence[Host]) -> dict[str, dict[str, int]]:
    """Return HAProxy's counts of requests by server address."""
    counts: dict[str, dict[str, int]] = hosts[0].call("remote.surveys.requests", {})
    return counts


def _is_installed(host: Host, lxd: daemon.Daemon, project: str, name: str) -> bool:
    """Whether anybody has post-installed a server; LXD answers where the host cannot."""
    called = f"{project}_{name}"
    found = shared_answers.about(host, "installed", _have_file, gather=GATHER_SECONDS).answer(
        (host, called)
    )
    return found[called] if called in found else postinstall.is_installed(lxd, project, name)


def _have_file(asked: Sequence[tuple[Host, str]]) -> dict[str, bool]:
    """Return which running servers are post-installed, by their names in LXC."""
    request = {"names": [name for _host, name in asked], "path": INSTALLED}
    found: dict[str, bool] = asked[0][0].call("remote.rootfs", request)
    return found


def _installed(host: Host, lxd: daemon.Daemon, lab: labs.Lab, name: str) -> dict[str, object]:
    """Return the stage of a server's post-installation, and the faults inside it."""
    project = lab.spec.project
    try:
        if not lab.spec.post_install:
            by_hand = _is_installed(host, lxd, project, name)
            faults = postinstall.faults(lxd, project, name) if by_hand else []
            main = postinstall.domain_of(lxd, project, name) if by_hand else ""
            return {"by_hand": by_hand, "inside": faults, "domain": main}
        marked = postinstall.mark(lxd, project, name)
        stage = postinstall.stage_of(lxd, project, name, marked)
        if stage is not model.Stage.DONE:
            lost = stage is model.Stage.LOST
            faults = postinstall.faults(lxd, project, name) if lost else []
            return {"installed": False, "stage": model.DRIFTS.get(stage, ""), "inside": faults}
        card = next((each for each in lab.cards if each["name"] == name), None)
        user = str(card["ssh"]["user"]) if card else ""
        faults, login = postinstall.inspect(lxd, project, name, user)
        # A stopped directory knows nobody. The card of an earlier `up` may name another user.
        taken = not faults and postinstall.is_taken(lxd, project, name, lab.spec.login)
        unknown = services.UNKNOWN in login and not faults
        missing = lab.spec.login if taken else user if unknown else ""
        return {
            "installed": True,
            "inside": faults,
            "userless": missing,
            "login": login,
            "taken": taken,
            "domain": postinstall.domain_of(lxd, project, name),
        }
    except errors.DaemonError:
        # No program runs in one that is stopped.
        return {}
