"""`./lab class snapshot|reset`: keep what the servers of a class are, and go back to it."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime as dt
import sys
import time
from collections.abc import Callable, Sequence

from classroom import class_file, runner, snapshots
from cli import classroom as classes
from cli import environment, progress
from core import errors, problems
from hosts import connections
from hosts.host import Host
from providers.lxd import client, daemon
from views import classroom

# The number of servers whose snapshots are listed at once.
TOGETHER = 8


def snapshot(options: argparse.Namespace) -> int:
    """Take a snapshot of every server that is up.

    Raises:
        errors.BadInputError: The name is no name of a snapshot, or nobody is up.

    """
    name = options.snapshot
    if not snapshots.NAME.fullmatch(name) or snapshots.is_before_reset(name):
        reason = "is not a name. Letters, digits, . _ and -, at most 63; not before-reset."
        raise errors.BadInputError(f"{problems.show(name)} {reason}")
    _host, lxd, servers = _servers_up(options)
    had: dict[str, snapshots.Snapshot] = {}

    def look(server: snapshots.Server) -> None:
        # What LXD refuses, its own row reports.
        with contextlib.suppress(errors.GrappeError):
            had[server.row] = snapshots.choose(lxd, server, name)

    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(look, servers))

    def act(server: snapshots.Server) -> str:
        # Where some lack it, an interrupted run took the others'.
        if server.row in had and len(had) < len(servers):
            return f"has it: {_shown(had[server.row])}"
        snapshots.take(lxd, server, name)
        return "taken"

    return _run(options, servers, act)


def reset(options: argparse.Namespace) -> int:
    """Put servers back to a snapshot, after a question; keep what they were as before-reset.

    Raises:
        errors.BadInputError: Nobody is up, or nobody has the snapshot.

    """
    host, lxd, servers = _servers_up(options)
    to: dict[str, snapshots.Snapshot] = {}
    wrong: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        chosen = [pool.submit(snapshots.choose, lxd, server, options.to) for server in servers]
    for server, each in zip(servers, chosen, strict=True):
        try:
            to[server.row] = each.result()
        except errors.CommandError as error:
            wrong.append(f"{server.row}: {error}")
    if not to:
        raise errors.BadInputError(
            "no server can be reset", seen="\n".join(wrong[:12]),
            do=f"./lab class snapshot {options.name} NAME takes one",
        )  # fmt: skip
    for line in wrong:
        sys.stderr.write(f"error: {line}\n")
    lines = "".join(f"  {row} goes back to {_shown(snapshot)}\n" for row, snapshot in to.items())
    sys.stderr.write(
        f"{lines}Changes since then are lost, and logins have their passwords of then. Addresses, "
        "ports, domains and host keys stay. The present state of each is kept as "
        f"{snapshots.BEFORE_RESET}.\n"
    )
    if not progress.confirm(f"Reset {len(to)} servers?", yes=options.yes):
        return 1

    def act(server: snapshots.Server) -> str:
        snapshots.reset(host, lxd, server, to[server.row])
        return f"is as at {_shown(to[server.row])}"

    return _run(options, [each for each in servers if each.row in to], act) or int(bool(wrong))


def _servers_up(options: argparse.Namespace) -> tuple[Host, daemon.Daemon, list[snapshots.Server]]:
    """Return the class's host, its LXD, and the chosen servers that are up."""
    file = class_file.read(environment.ROOT, options.name)
    classes.demand_states_here()
    servers = classes.servers_up(options.name, file, options.who)
    environment.apply()
    host = connections.connect(file.host)
    return host, client.on(host), servers


def _shown(snapshot: snapshots.Snapshot) -> str:
    """Return a snapshot with its time, in hours and minutes where it is of today."""
    at = snapshot.taken_at.astimezone()
    ago = dt.datetime.now(tz=dt.UTC) - snapshot.taken_at
    minutes = int(ago.total_seconds() // 60)
    clock = f"{at:%H:%M}" if ago < dt.timedelta(hours=12) else f"{at:%Y-%m-%d %H:%M}"
    return f"{snapshot.name}, {clock} ({minutes} min ago)"


def _run(
    options: argparse.Namespace,
    servers: Sequence[snapshots.Server],
    act: Callable[[snapshots.Server], str],
) -> int:
    """Act on each server, several at once, a row each; return the exit status."""
    by_row = {server.row: server for server in servers}
    rows = [runner.Row(server.row, server.stack) for server in servers]
    began = time.monotonic()
    with classroom.showing(rows, as_json=options.json) as show:
        runs = runner.Runner(rows, lambda row: act(by_row[row.name]), show.changed)
        ok = runs.run(options.jobs, show.wait)
    sys.stderr.write(classroom.summed_up(rows, time.monotonic() - began))
    return 0 if ok else 1
