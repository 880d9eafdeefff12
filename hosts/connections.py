"""The connections of this process, one a host."""

from __future__ import annotations

import atexit
import contextlib
import threading
from concurrent import futures

from core import errors
from hosts import local, url
from hosts.host import Host

# All threads that ask for a host share the future of its one connection.
_hosts: dict[str, futures.Future[Host]] = {}
_guard = threading.Lock()
# Recorded URLs that do not answer.
_silent: set[str] = set()


def connect(text: str) -> Host:
    """Return the host at a URL, connected once in a process.

    Raises:
        errors.HostError: The host does not answer, or refuses us; says which and what to do.
    """
    with _guard:
        first = text not in _hosts
        outcome = _hosts.setdefault(text, futures.Future())
    if first:
        try:
            outcome.set_result(_open(url.parse(text)))
        except BaseException as error:  # noqa: BLE001 - every waiting thread gets it
            # A later caller tries again.
            with _guard:
                if _hosts.get(text) is outcome:
                    del _hosts[text]
            outcome.set_exception(error)
    return outcome.result()


def is_same_machine(text: str, other: str, machine_id: str) -> bool:
    """Whether one URL leads to the machine that another led to.

    Clones of one template share a machine-id but not a boot id: if both URLs answer with different
    boot ids, they are two machines. A URL that does not answer counts as an old name of the same.

    Args:
        text: The URL of today.
        other: The recorded URL.
        machine_id: The recorded machine-id.

    Raises:
        errors.HostError: The first does not answer, or refuses us.
    """
    host = connect(text)
    if host.machine_id != machine_id:
        return False
    if text == other:
        return True
    if other in _silent:
        return True
    try:
        before = connect(other)
    except errors.HostError:
        # Every resource calls this, and each call would wait as long.
        _silent.add(other)
        return True
    return before.machine_id != machine_id or before.boot_id == host.boot_id


def prepare(text: str) -> None:
    """Connect and start a worker there in the background."""

    def act() -> None:
        # `connect` reports any error.
        with contextlib.suppress(Exception):
            connect(text).prepare()

    threading.Thread(target=act, daemon=True).start()


def connect_ahead(text: str) -> None:
    """Begin a connection that another process of this run will use."""
    host_url = url.parse(text)
    if host_url.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        ssh.connect_ahead(host_url)


@atexit.register
def close_all() -> None:
    """End every connection of this process."""
    with _guard:
        for outcome in _hosts.values():
            # The process ends: nobody reads the error of a connection that has already ended.
            with contextlib.suppress(Exception):
                if outcome.done():
                    outcome.result().close()
        _hosts.clear()
        _silent.clear()


def _open(host_url: url.HostUrl) -> Host:
    if host_url.scheme == "ssh":
        from hosts import ssh  # noqa: PLC0415 - only where it is used

        connection = ssh.Ssh(host_url)
        return Host(host_url, connection, connection.open())
    ours = local.Local(host_url.name if host_url.scheme == "netns" else "")
    return Host(host_url, ours, local.identify(host_url, ours))
