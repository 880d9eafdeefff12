"""`./lab class snapshot|reset`: take snapshots of a class's servers, and restore them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Sequence

from classroom import class_file, runner, snapshots
from cli import classroom as classes
from cli import environment, options, progress
from core import errors, problems
from hosts import connections
from hosts.host import Host
from providers.lxd import client, daemon

# The number of servers whose snapshots are listed at once.
TOGETHER = 8


def snapshot_options(parser: options.Parser) -> None:
    """Add the options of `snapshot`."""
    options.class_name(parser)
    text = "the snapshot: before-haproxy"
    parser.add_argument("snapshot_name", metavar="NAME", help=text)
    options.servers(parser)


def snapshot(name: str, snapshot_name: str, who: Sequence[str], *, jobs: int, as_json: bool) -> int:
    """Take a snapshot of every server that is up.

    Raises:
        errors.BadInputError: The name is invalid, or no server is up.
    """
    if not snapshots.NAME.fullmatch(snapshot_name) or snapshots.is_before_reset(snapshot_name):
        reason = "is not a name. Letters, digits, . _ and -, at most 63; not before-reset."
        raise errors.BadInputError(f"{problems.show(snapshot_name)} {reason}")
    _host, lxd, servers, broken = _servers_up(name, who)
    had: dict[str, snapshots.Snapshot] = {}

    def find_existing(server: snapshots.Server) -> None:
        # The server's own row reports an error.
        with contextlib.suppress(errors.GrappeError):
            had[server.row] = snapshots.choose(lxd, server, snapshot_name)

    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(find_existing, servers))

    def act(server: snapshots.Server) -> str:
        # If only some servers lack it, an interrupted run has taken the others' snapshots.
        if server.row in had and len(had) < len(servers):
            return f"has it: {_shown(had[server.row])}"
        snapshots.take(lxd, server, snapshot_name)
        return "taken"

    return _run(servers, act, jobs=jobs, as_json=as_json) or int(bool(broken))


def reset_options(parser: options.Parser) -> None:
    """Add the options of `reset`."""
    options.class_name(parser)
    options.servers(parser)
    text = "which snapshot (default: the latest; before-reset undoes a reset)"
    parser.add_argument("--to", dest="target", metavar="NAME", help=text)
    options.yes(parser)


def reset(
    name: str, who: Sequence[str], target: str | None, *, yes: bool, jobs: int, as_json: bool
) -> int:
    """Restore a snapshot of servers, after a question; keep their present state as before-reset.

    Raises:
        errors.BadInputError: No server is up, or none has the snapshot.
    """
    if target == "":
        raise errors.BadInputError("--to names no snapshot", do="leave it out for the latest")
    host, lxd, servers, broken = _servers_up(name, who)
    to: dict[str, snapshots.Snapshot] = {}
    wrong: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        chosen = [pool.submit(snapshots.choose, lxd, server, target or "") for server in servers]
    for server, each in zip(servers, chosen, strict=True):
        try:
            to[server.row] = each.result()
        except errors.CommandError as error:
            wrong.append(f"{server.row}: {error}")
    if not to:
        raise errors.BadInputError(
            "no server can be reset", seen="\n".join(wrong[:12]),
            do=f"./lab class snapshot {name} NAME takes one",
        )  # fmt: skip
    for line in wrong:
        sys.stderr.write(f"error: {line}\n")
    lines = "".join(f"  {row} goes back to {_shown(snapshot)}\n" for row, snapshot in to.items())
    sys.stderr.write(
        f"{lines}Changes since then are lost; logins get the passwords of that time. Addresses, "
        "ports, domains and host keys stay. The present state of each is kept as "
        f"{snapshots.BEFORE_RESET}.\n"
    )
    if not progress.confirm(f"Reset {len(to)} servers?", yes=yes):
        return 1

    def act(server: snapshots.Server) -> str:
        snapshots.reset(host, lxd, server, to[server.row])
        return f"reset to {_shown(to[server.row])}"

    chosen_servers = [each for each in servers if each.row in to]
    return _run(chosen_servers, act, jobs=jobs, as_json=as_json) or int(bool(wrong or broken))


def _servers_up(
    name: str, who: Sequence[str]
) -> tuple[Host, daemon.Daemon, list[snapshots.Server], list[str]]:
    """Return the class's host, its LXD, the chosen servers that are up, and unreadable students."""
    file = class_file.read(environment.ROOT, name)
    classes.demand_states_here()
    servers, broken = classes.servers_up(name, file, who)
    environment.apply()
    host = connections.connect(file.host)
    return host, client.on(host), servers, broken


def _shown(snapshot: snapshots.Snapshot) -> str:
    """Return a snapshot's name, time and age; with the date after twelve hours."""
    taken = snapshot.taken_at.astimezone()
    age = dt.datetime.now(tz=dt.UTC) - snapshot.taken_at
    minutes = int(age.total_seconds() // 60)
    shown = f"{taken:%H:%M}" if age < dt.timedelta(hours=12) else f"{taken:%Y-%m-%d %H:%M}"
    return f"{snapshot.name}, {shown} ({minutes} min ago)"


def _run(
    servers: Sequence[snapshots.Server],
    act: Callable[[snapshots.Server], str],
    *,
    jobs: int,
    as_json: bool,
) -> int:
    """Act on each server, several at once, a row each; return the exit status."""
    by_row = {server.row: server for server in servers}
    rows = [runner.Row(server.row, server.stack) for server in servers]
    runs = runner.Runner(rows, lambda row: act(by_row[row.name]))

    def interrupted(_turn: int) -> None:
        # A half-done reset would leave its server stopped.
        sys.stderr.write("interrupted: those under way end first; no other begins\n")

    return classes.show_runs(runs, interrupted, jobs=jobs, as_json=as_json)
