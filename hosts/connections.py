"""The hosts that this process is connected to, each once."""

from __future__ import annotations

import atexit
import contextlib
import threading
from concurrent import futures

from hosts import local, url
from hosts.host import Host

# A host that is being connected to has an outcome to come, for all who ask for it.
_hosts: dict[str, futures.Future[Host]] = {}
_guard = threading.Lock()


def connect(text: str) -> Host:
    """Return the host at a URL, connected once in a process.

    Raises:
        errors.HostError: It does not answer, or refuses us; says which and what to do.

    """
    with _guard:
        first = text not in _hosts
        outcome = _hosts.setdefault(text, futures.Future())
    if first:
        try:
            outcome.set_result(_open(url.parse(text)))
        except BaseException as error:  # noqa: BLE001 - told to all who wait, now
            # Who comes later tries again.
            with _guard:
                if _hosts.get(text) is outcome:
                    del _hosts[text]
            outcome.set_exception(error)
    return outcome.result()


def prepare(text: str) -> None:
    """Begin to connect, and have a python there, while this process has other things to do."""

    def act() -> None:
        # Whatever is wrong is told by who connects.
        with contextlib.suppress(Exception):
            connect(text).prepare()

    threading.Thread(target=act, daemon=True).start()


def connect_ahead(text: str) -> None:
    """Begin to connect to a host that another process of this run is to use."""
    where = url.parse(text)
    if where.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        ssh.connect_ahead(where)


@atexit.register
def close_all() -> None:
    """End every connection of this process."""
    with _guard:
        for outcome in _hosts.values():
            if outcome.done():
                outcome.result().close()
        _hosts.clear()


def _open(where: url.HostUrl) -> Host:
    if where.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        return Host(where, *ssh.open_connection(where))
    ours = local.Local(where.name if where.scheme == "netns" else "")
    return Host(where, ours, local.identify(where, ours))
