"""Find the drift of a stack without the engine."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib
import threading
from typing import Any

from cli import stack
from core import errors

# Kinds whose driver reads in milliseconds, by the suffix of their type.
KINDS = {
    "haproxy:Backend": "providers.haproxy.resource",
    "hosts:Entry": "providers.hosts_file.resource",
    "lxd:Container": "providers.lxd.container.resource",
    "lxd:Network": "providers.lxd.network.resource",
    "lxd:Project": "providers.lxd.project.resource",
    "lxd:Volume": "providers.lxd.volume.resource",
    "nat:Rule": "providers.nat.resource",
    "tunnel:Tunnel": "providers.tunnel.resource",
}
TOGETHER = 8


@dataclasses.dataclass(frozen=True)
class Drift:
    """A resource that has drifted.

    Attributes:
        name: Its logical name in the stack.
        kind: Its kind: Rule, Backend, Container, ...
        words: The differences, a line each.
    """

    name: str
    kind: str
    words: tuple[str, ...]


def preload() -> None:
    """Import what `find` needs, in the background, while hosts are reached."""
    threading.Thread(target=_import, daemon=True).start()


def _import() -> None:
    for module in KINDS.values():
        importlib.import_module(module)


def find(name: str) -> list[Drift]:
    """Return the drifted resources of a stack, in the state's order."""
    readable = [item for item in stack.recorded(name) if _kind(item) in KINDS]
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        found = pool.map(_read, readable)
        return [each for each in found if each.words]


def _kind(item: dict[str, Any]) -> str:
    return str(item["type"]).rpartition("/")[2]


def _read(item: dict[str, Any]) -> Drift:
    module, name = importlib.import_module(KINDS[_kind(item)]), _kind(item).rpartition(":")[2]
    try:
        words = getattr(module, name).provider().drift(item["outputs"])
    except errors.GrappeError as error:
        words = (error.brief,)
    return Drift(item["urn"].rpartition("::")[2], name, tuple(words))
