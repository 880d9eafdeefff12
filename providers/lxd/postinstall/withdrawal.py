"""Keep people from a server's pages while it is post-installed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from hosts.host import Host
from providers.haproxy import model as haproxy
from providers.haproxy.resource import BackendProvider
from providers.lxd.postinstall.model import PostInstallSpec
from remote import haproxy_maps


def on(host: Host) -> Callable[[PostInstallSpec], contextlib.AbstractContextManager[None]]:
    """Return a function whose context withdraws a server's route, and puts it back.

    A new server has no route yet: its backend waits for the post-installation. A server has one if
    its password came later, or if a snapshot was restored. After a failure the route stays
    withdrawn, which the next run repairs as drift of the backend, after the post-installation.
    """
    backends = BackendProvider().driver(host)

    @contextlib.contextmanager
    def withdrawn(spec: PostInstallSpec) -> Iterator[None]:
        wanted = haproxy.BackendSpec(
            host=spec.host, owner=spec.owner, lab=spec.lab, name=spec.container,
            domains=(spec.domain,), address="",
        )  # fmt: skip
        reading = backends.read(wanted)
        if reading is None or reading.spec.state != haproxy_maps.UP:
            yield
            return
        closed = dataclasses.replace(reading.spec, state=haproxy_maps.STOPPED)
        backends.update(reading.spec, closed)
        yield
        backends.update(closed, reading.spec)

    return withdrawn
