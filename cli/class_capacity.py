"""Check that a class fits on its lab host, before anything begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from checks import capacity
from classroom import class_file
from classroom.class_file import ClassFile, Student
from cli import classroom as classes
from cli import environment
from core import errors
from hosts import connections
from providers.lxd import client, daemon
from stacks import settings


def demand(name: str, file: ClassFile, students: Sequence[Student], *, anyway: bool) -> None:
    """Print what the lab host has left; refuse if the new servers do not fit.

    Raises:
        errors.BadInputError: They do not fit, and `--anyway` is missing.
    """
    down = [
        class_file.stack_of(name, each) for each in students
        if not classes.servers(classes.recorded(class_file.stack_of(name, each)))
    ]  # fmt: skip
    if not down:
        return
    environment.apply()
    host = connections.connect(file.host)
    limit = host.run(["cat", "/proc/sys/fs/inotify/max_user_instances"], check=False).stdout
    above = host.call("remote.processes", {"seconds": 0.1})
    lxd = client.on(host)
    here = capacity.Capacity(
        memory=above["available"], inotify=int(limit or 0),
        disk=_free_disk(lxd, str(file.settings.get("pool") or "default")),
        servers=len(above["containers"]),
        used=sum(each["memory"] for each in above["containers"]),
    )  # fmt: skip
    of_one = len(file.settings.get("servers") or settings.Settings().servers)
    wanted = len(down) * of_one
    found = list(capacity.findings(here, wanted))
    sys.stderr.write(
        f"{file.host}: {capacity.summary(here, wanted)}{'' if found else ' It fits.'}\n"
    )
    if found and not anyway:
        raise errors.BadInputError(
            f"{file.host} has room for {capacity.fits(here) // of_one} of the {len(down)} labs "
            "that are down; nothing was started",
            seen="\n".join(what for what, _mends in found),
            do="\n".join(
                [*(mends for _what, mends in found), "or start them all the same: --anyway"]
            ),
        )


def _free_disk(lxd: daemon.Daemon, pool: str) -> int:
    """Return the free bytes of a storage pool, or of the first if the named one is missing."""
    names = [url.rpartition("/")[2] for url in lxd.get("storage-pools")]
    if not names:
        return 0
    space = lxd.get(f"storage-pools/{pool if pool in names else names[0]}/resources")["space"]
    return max(0, int(space.get("total", 0)) - int(space.get("used", 0)))
