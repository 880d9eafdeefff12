"""Take snapshots of a class's servers, and restore them; LXD holds them, and no state."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import re
import time
from collections.abc import Mapping
from typing import Any

from core import errors, run
from hosts.host import Host
from providers.lxd import daemon
from providers.lxd.postinstall import inside as postinstall

# In the container's config while a snapshot is taken, which copies it.
MARK = "user.grappe.class-snapshot."
BEFORE_RESET = "before-reset"
# The present state while a reset to `before-reset` is under way: one that was killed finds its
# target under the same name again.
BEFORE_UNDO = "before-reset-next"
# Drivers whose restore deletes each later snapshot, or refuses where there is one.
RESTORES_LATEST_ONLY = ("zfs", "truenas")
# How many older ones stay, renamed by their time: a reset that was interrupted and runs again must
# not remove the student's work.
KEPT = 4
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# Seconds that a starting server may take.
ANSWER_SECONDS = 60
# Seconds of one attempt to dial, after which the command checks for an interrupt.
DIAL_SECONDS = 5
SSH_PORT = 22
RUNNING = "Running"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server of a student.

    Attributes:
        student: The student's label.
        stack: The student's stack.
        name: The server's name.
        project: Its LXD project.
        address: Its address on the student's bridge.
        post_installed: Whether its stack post-installs it.
        runs: Whether its stack wants it to run.
    """

    student: str
    stack: str
    name: str
    project: str
    address: str
    post_installed: bool = False
    runs: bool = False

    @property
    def row(self) -> str:
        """Student and server, as people name them."""
        return f"{self.student}:{self.name}"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot that a command of the class took.

    Attributes:
        name: Its name.
        taken_at: When it was taken.
    """

    name: str
    taken_at: dt.datetime


def take(lxd: daemon.Daemon, server: Server, name: str) -> None:
    """Take a snapshot.

    Raises:
        errors.CommandError: The server has a snapshot of that name, or is gone.
    """
    _get(lxd, server)
    if name in _names(lxd, server):
        raise errors.CommandError(
            f"it has a snapshot {name} already: choose another name, or delete that one: "
            f"{lxd.program} delete {server.name}/{name} --project {server.project}"
        )
    _keep(lxd, server, name)


def _keep(lxd: daemon.Daemon, server: Server, name: str) -> None:
    """Take a snapshot, with a mark that its container loses again: one by hand must not have it."""
    path = f"instances/{server.name}"
    config = _get(lxd, server)["config"]
    unmarked = {key: "" for key in config if key.startswith(MARK)}
    mark = {_mark_of(name): dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")}
    lxd.change("PATCH", path, {"config": {**unmarked, **mark}}, project=server.project)
    lxd.change(
        "POST", f"{path}/snapshots", {"name": name}, project=server.project,
        timeout=daemon.COPY_SECONDS,
    )  # fmt: skip
    lxd.change("PATCH", path, {"config": dict.fromkeys(mark, "")}, project=server.project)


def find(lxd: daemon.Daemon, server: Server) -> list[Snapshot]:
    """Return the class's snapshots of a server, the oldest first; not those of its stack.

    The lab host's clock orders them: those of two laptops may differ, and one may go back.
    """
    snapshots = []
    for item in sorted(_snapshots(lxd, server), key=_created):
        name = item["name"].rpartition("/")[2]
        if taken_at := item["config"].get(_mark_of(name)):
            snapshots.append(Snapshot(name, dt.datetime.fromisoformat(taken_at)))
    return snapshots


def _created(item: Mapping[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(item["created_at"])


def _mark_of(name: str) -> str:
    return MARK + (BEFORE_RESET if is_before_reset(name) else name)


def is_before_reset(name: str) -> bool:
    """Whether a name is reserved for the snapshots that resets take: `before-reset...`."""
    return name.startswith(BEFORE_RESET)


def choose(lxd: daemon.Daemon, server: Server, name: str) -> Snapshot:
    """Return a server's snapshot by name; the latest where none is named.

    Raises:
        errors.CommandError: There is no such snapshot.
    """
    snapshots = find(lxd, server)
    own = [each for each in snapshots if not is_before_reset(each.name)]
    fitting = [each for each in snapshots if each.name == name] if name else own
    if not fitting:
        has = ", ".join(each.name for each in snapshots) or "none"
        ours = {each.name for each in snapshots}
        others = [each for each in _names(lxd, server) if each not in ours]
        by_hand = f"; made by hand: {', '.join(others)}" if others else ""
        wanted = f"no snapshot {name}" if name else "no snapshot"
        raise errors.CommandError(f"it has {wanted}; of the class's it has: {has}{by_hand}")
    return fitting[-1]


def reset(host: Host, lxd: daemon.Daemon, server: Server, to: Snapshot) -> None:
    """Restore a snapshot; keep the server's present state as `before-reset`.

    LXD also restores the configuration of that time. Grappe writes today's over it, so that the
    next `up` has nothing to do.

    Raises:
        errors.CommandError: The server is ephemeral or on ZFS, or the snapshot is from before the
            post-installation of a server that its stack post-installs; the server is as before.
        errors.NotReadyError: The server does not answer after it.
    """
    path, was = f"instances/{server.name}", dict(_get(lxd, server))
    if was["ephemeral"]:
        raise errors.CommandError(
            "it is ephemeral: it would be deleted, with its snapshots, when it stops for the reset"
        )
    _demand_any_snapshot(lxd, server, was, to.name)
    kept_as = BEFORE_UNDO if to.name == BEFORE_RESET else BEFORE_RESET
    _rename_by_time(lxd, server, kept_as)
    _keep(lxd, server, kept_as)
    if was["status"] == RUNNING:
        # By force, as LXD itself would: the restore discards whatever it still writes.
        body = {"action": "stop", "force": True}
        lxd.change("PUT", f"{path}/state", body, project=server.project)
    try:
        _restore(lxd, server, to.name)
    except errors.DaemonError:
        if was["status"] == RUNNING:
            lxd.change("PUT", f"{path}/state", {"action": "start"}, project=server.project)
        raise
    early = server.post_installed and not postinstall.is_installed(lxd, server.project, server.name)
    if early:
        # Its pages are reachable: their first visitor would become its administrator.
        _restore(lxd, server, kept_as)
    # LXD's own records (volatile.*) describe the restored files; all other keys are today's.
    kept = {
        key: text for key, text in was["config"].items() if not key.startswith(("volatile.", MARK))
    }
    now = lxd.get(path, project=server.project)["config"]
    own = {key: text for key, text in now.items() if key.startswith("volatile.")}
    uuid = {key: was["config"][key] for key in ("volatile.uuid",) if key in was["config"]}
    body = {
        key: was[key] for key in ("architecture", "devices", "ephemeral", "profiles", "description")
    }
    lxd.change("PUT", path, {**body, "config": {**kept, **own, **uuid}}, project=server.project)
    if kept_as == BEFORE_UNDO:
        _rename_by_time(lxd, server, BEFORE_RESET)
        _rename(lxd, server, BEFORE_UNDO, BEFORE_RESET)
    _delete_oldest(lxd, server, to.name)
    # A reset that was killed may have left it stopped.
    if was["status"] == RUNNING or server.runs:
        lxd.change("PUT", f"{path}/state", {"action": "start"}, project=server.project)
        _wait(host, server)
    if early:
        raise errors.CommandError(
            f"{to.name} is from before its post-installation, and was not kept: anybody could have "
            f"made themselves its administrator. As new: ./lab up {server.stack} --rebuild "
            f"{server.name}"
        )


def _restore(lxd: daemon.Daemon, server: Server, name: str) -> None:
    path, body = f"instances/{server.name}", {"restore": name}
    lxd.change("PUT", path, body, project=server.project, timeout=daemon.COPY_SECONDS)


def _demand_any_snapshot(
    lxd: daemon.Daemon, server: Server, was: Mapping[str, Any], wanted: str
) -> None:
    """Refuse a server whose storage cannot keep `before-reset` while it restores an earlier one."""
    devices = was.get("expanded_devices", {}).values()
    for pool in {device["pool"] for device in devices if device.get("path") == "/"}:
        driver = lxd.get(f"storage-pools/{pool}")["driver"]
        if driver in RESTORES_LATEST_ONLY:
            export = f"{lxd.program} export {server.name} {server.name}-before.tar.gz"
            raise errors.CommandError(
                f"its pool {pool} is {driver}, where LXD restores only the latest snapshot: the "
                "present state could not be kept as before-reset. By hand: "
                f"{export} --project {server.project}; delete the snapshots later than {wanted}; "
                f"{lxd.program} restore {server.name} {wanted} --project {server.project}"
            )


def _rename_by_time(lxd: daemon.Daemon, server: Server, name: str) -> None:
    """Give a snapshot of an earlier reset its time as name, if it is there."""
    ours = {each.name: each for each in find(lxd, server)}
    names = _names(lxd, server)
    if name in names and name not in ours:
        path = f"{server.name}/{name}"
        raise errors.CommandError(
            f"somebody made a snapshot {name} by hand, a name that reset needs: "
            f"{lxd.program} rename {path} {server.name}/by-hand --project {server.project}"
        )
    if name in ours:
        stamp = f"{BEFORE_RESET}-{ours[name].taken_at:%Y%m%d-%H%M%S}"
        numbered = (f"{stamp}-{number}" for number in itertools.count(2))
        free = next(each for each in itertools.chain([stamp], numbered) if each not in names)
        _rename(lxd, server, name, free)


def _rename(lxd: daemon.Daemon, server: Server, name: str, new: str) -> None:
    path = f"instances/{server.name}/snapshots/{name}"
    lxd.change("POST", path, {"name": new}, project=server.project)


def _delete_oldest(lxd: daemon.Daemon, server: Server, target: str) -> None:
    """Delete the snapshots of resets before the last `KEPT`, but not the one gone back to."""
    older = [
        each for each in find(lxd, server)
        if is_before_reset(each.name) and each.name != BEFORE_RESET
    ]  # fmt: skip
    for each in (each for each in older[:-KEPT] if each.name != target):
        path = f"instances/{server.name}/snapshots/{each.name}"
        lxd.change("DELETE", path, project=server.project)


def _wait(host: Host, server: Server) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    request = {"address": server.address, "port": SSH_PORT, "seconds": DIAL_SECONDS}
    while why := str(host.call("remote.dial", request)):
        if time.monotonic() > deadline:
            raise errors.NotReadyError(f"{server.row} does not answer after the reset", seen=why)
        run.raise_if_cancelled()


def _get(lxd: daemon.Daemon, server: Server, below: str = "", **options: str) -> Any:
    """Return a server as LXD has it, or what is below it; raise CommandError if it is missing."""
    try:
        return lxd.get(f"instances/{server.name}{below}", project=server.project, **options)
    except daemon.AbsentError:
        missing = f"it is missing; ./lab up {server.stack} recreates it"
        raise errors.CommandError(missing) from None


def _names(lxd: daemon.Daemon, server: Server) -> list[str]:
    return [item["name"].rpartition("/")[2] for item in _snapshots(lxd, server)]


def _snapshots(lxd: daemon.Daemon, server: Server) -> list[dict[str, Any]]:
    return list(_get(lxd, server, "/snapshots", recursion="1"))
