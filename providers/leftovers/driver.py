"""Find and remove everything on its hosts that carries a lab's marks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from core import codec, run
from hosts import connections
from providers import base
from providers.haproxy.resource import BackendProvider
from providers.hosts_file.resource import EntryProvider
from providers.lxd import client
from providers.lxd import leftovers as lxd
from providers.nat.resource import RuleProvider
from providers.relay.resource import DoorProvider
from providers.tunnel import host as tunnels

# The people's word for a target's fragment.
WORDS = {"nat": "NAT rule", "haproxy": "backend", "hosts": "hosts entry", "relay": "relay grant"}
# The kinds by the role of their machine, which may have another role in the same lab.
ON = {
    "host": (*lxd.KINDS, "tunnel", WORDS["nat"], WORDS["haproxy"]),
    "workstation": (WORDS["hosts"],),
    "relay": (WORDS["relay"],),
}
PROVIDERS: dict[str, type[base.Provider[Any]]] = {
    "nat": RuleProvider, "haproxy": BackendProvider, "hosts": EntryProvider, "relay": DoorProvider,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Leftover:
    """One thing of a lab on a host.

    Attributes:
        url: The host.
        kind: `container`, `NAT rule` and the like.
        name: Its name, as a person knows it.
        project: The LXD project that it is in, where it is in one.
        target: The target of its shared files, if it is a fragment.
        thing: The object in LXD, if it is LXD's.
    """

    url: str
    kind: str
    name: str
    project: str = ""
    target: str = ""
    thing: lxd.Thing | None = None

    def __str__(self) -> str:
        """Return its name for messages."""
        return f"{self.kind} {self.name[:40]}"


def find(urls: Sequence[str], lab_host: str, owner: str, lab: str) -> list[Leftover]:
    """Return everything of a lab, in an order in which it can be removed.

    Args:
        urls: The hosts to search.
        lab_host: The one of them with LXD.
        owner: The lab's owner.
        lab: The lab's id.

    Raises:
        errors.GrappeError: A host does not answer, or refuses.
    """
    with run.Pool() as pool:
        searches = [pool.submit(_find_on_host, url, owner, lab) for url in dict.fromkeys(urls)]
        if lab_host:
            searches.append(pool.submit(_find_in_lxd, lab_host, owner, lab))
        return [item for search in searches for item in search.result()]


def remove(left: Leftover, owner: str, lab: str) -> None:
    """Remove one thing of a lab; leave it if it belongs to another lab by now."""
    host = connections.connect(left.url)
    spec = codec.Spec(host=left.url, owner=owner, name=left.name, lab=lab)
    if left.thing is not None:
        lxd.remove(client.on(host), left.thing, spec)
    elif left.target:
        PROVIDERS[left.target]().driver(host).delete(spec)
    else:
        for operation in ("lower_tunnel", "remove_key"):
            tunnels.TunnelHost(host).call(operation, name=left.name, whose=codec.marks(spec))


def sweep(
    urls: Sequence[str], lab_host: str, owner: str, lab: str, words: Collection[str] = ()
) -> list[str]:
    """Remove everything that carries a lab's id; return its names.

    Args:
        urls: The hosts to search.
        lab_host: The one of them with LXD.
        owner: The lab's owner.
        lab: The lab's id.
        words: The kinds of things to remove; all if empty.

    Raises:
        errors.GrappeError: A host does not answer, or something could not be removed.
    """
    if not lab:
        # Without an id, another state may have made the things with our name.
        return []
    removed = []
    for left in find(urls, lab_host, owner, lab):
        if words and left.kind not in words:
            continue
        remove(left, owner, lab)
        removed.append(str(left))
    return removed


def _find_in_lxd(url: str, owner: str, lab: str) -> list[Leftover]:
    return [
        Leftover(url, item.kind, item.name, item.project, thing=item)
        for item in lxd.find(client.on(connections.connect(url)), owner, lab)
    ]


def _find_on_host(url: str, owner: str, lab: str) -> list[Leftover]:
    host = connections.connect(url)
    if not host.may_be_root:
        # Grappe has made nothing there.
        return []
    request = {"store": host.store, "owner": owner, "lab": lab}
    survey = host.call("remote.surveys.leftovers", request)
    named = [(item["target"], item["id"].rpartition("/")[2]) for item in survey["fragments"]]
    return [
        *(Leftover(host.url, "tunnel", name) for name in survey["tunnels"]),
        *(Leftover(host.url, WORDS[target], name, target=target) for target, name in named),
    ]
