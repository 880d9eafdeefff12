"""Find and remove the objects in LXD that carry a lab's marks."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from core import codec, errors, run
from providers.lxd import daemon, delete_protection, listing
from providers.lxd.image import aliases
from remote import identity

REMOVE_SECONDS = 20.0
# In the order of their removal.
KINDS = ("container", "volume", "image", "network", "project")


@dataclasses.dataclass(frozen=True, order=True)
class Thing:
    """A lab's object in LXD.

    Attributes:
        kind: One of `KINDS`.
        name: Its name; an image's fingerprint.
        project: Its LXD project, if it is in one.
        path: Its path below `/1.0/`.
    """

    kind: str
    name: str
    project: str = ""
    path: str = ""


def find(lxd: daemon.Daemon, owner: str, lab: str) -> list[Thing]:
    """Return everything of a lab in LXD, in an order in which it can be removed."""
    whose = codec.Spec(host="", owner=owner, name="", lab=lab)
    things: list[Thing] = []
    with run.Pool() as pool:
        lists = {
            kind: pool.submit(listing.get, lxd, kind) for kind in ("projects", "networks", "images")
        }
    for project in lists["projects"].result():
        if _ours(project["config"], whose):
            things.append(Thing("project", project["name"], "", f"projects/{project['name']}"))
            things += inside(lxd, project["name"], whose)
    for network in lists["networks"].result():
        # The listing may be older than the network.
        if _ours(network.get("config") or {}, whose) and _still_ours(lxd, network["name"], whose):
            things.append(Thing("network", network["name"], "", f"networks/{network['name']}"))
    for image in lists["images"].result():
        if aliases.is_free(image, whose):
            path = f"images/{image['fingerprint']}"
            things.append(Thing("image", image["fingerprint"], "", path))
    return sorted(things, key=lambda thing: (KINDS.index(thing.kind), thing))


def _still_ours(lxd: daemon.Daemon, network: str, whose: codec.Spec) -> bool:
    found = daemon.find(lxd, f"networks/{network}") or {}
    return _ours(found.get("config") or {}, whose)


def inside(lxd: daemon.Daemon, project: str, whose: codec.Spec) -> Iterator[Thing]:
    """Yield the containers and volumes of a lab in an LXD project."""
    for item in lxd.get("instances", project=project, recursion="1"):
        if _ours(item["config"], whose):
            yield Thing("container", item["name"], project, f"instances/{item['name']}")
    for url in lxd.get("storage-pools"):
        folder = f"storage-pools/{url.rpartition('/')[2]}/volumes/custom"
        for item in lxd.get(folder, project=project, recursion="1"):
            if _ours(item["config"], whose):
                yield Thing("volume", item["name"], project, f"{folder}/{item['name']}")


def free(lxd: daemon.Daemon, used: Mapping[str, Any], whose: codec.Spec) -> list[str]:
    """Remove the containers of a lab that use an LXD object; return their names.

    A container outside the lab's projects is somebody's copy: its marks came with it, and it stays.

    Raises:
        errors.NotOursError: An instance of somebody else's uses the object.
    """
    removed = []
    others = []
    for kind, name, project in _users(used):
        if kind != "instances":
            continue
        path = f"instances/{name}"
        with contextlib.suppress(daemon.AbsentError):
            if _ours(lxd.get(path, project=project)["config"], whose) and _ours(
                lxd.get(f"projects/{project}")["config"], whose
            ):
                remove(lxd, Thing("container", name, project, path), whose)
                removed.append(f"container {name}")
                continue
            others.append(f"{name} of project {project}")
    others += [f"the profile {name}" for kind, name, _project in _users(used) if kind == "profiles"]
    if others:
        raise errors.NotOursError(
            f"{used.get('name', 'it')} is still used by {', '.join(others)}, which is no part of "
            f"{whose.owner}",
            do=f"take it off there, then the same again: {lxd.program} config device remove NAME "
            "DEVICE --project PROJECT, or give it another network",
        )
    return removed


def links(lxd: daemon.Daemon, used: Mapping[str, Any], bridge: str) -> list[str]:
    """Return the host's ends of the links by which instances are on a bridge."""
    found = []
    for kind, name, project in _users(used):
        if kind != "instances":
            continue
        with contextlib.suppress(daemon.AbsentError):
            item = lxd.get(f"instances/{name}", project=project)
            found += [
                item["config"].get(f"volatile.{device}.host_name", "")
                for device, settings in item["devices"].items()
                if settings.get("network") == bridge
            ]
    return [each for each in found if each]


def _users(used: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, name and project of everything that uses an LXD object."""
    for url in used.get("used_by") or ():
        parsed = urllib.parse.urlsplit(url)
        project = urllib.parse.parse_qs(parsed.query).get("project", ["default"])[0]
        kind, _slash, name = parsed.path.removeprefix("/1.0/").partition("/")
        if "/" not in name:
            yield kind, name, project


def remove(lxd: daemon.Daemon, thing: Thing, whose: codec.Spec) -> None:
    """Remove a lab's thing, unless it is gone or another lab has made one of that name since."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            with _removing:
                _remove(lxd, thing, whose)
        except errors.DaemonError:
            # LXD refuses a second delete while the first is under way.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


# Several resources of one destroy may find the same leftover.
_removing = threading.Lock()


def _remove(lxd: daemon.Daemon, thing: Thing, whose: codec.Spec) -> None:
    with contextlib.suppress(daemon.AbsentError):
        stored = lxd.get(thing.path, project=thing.project)
        image = thing.kind == "image"
        if not (aliases.is_free(stored, whose) if image else _ours(stored["config"], whose)):
            return
        if thing.kind == "container":
            if stored["status"] != "Stopped":
                body = {"action": "stop", "force": True, "timeout": 30}
                lxd.change("PUT", f"{thing.path}/state", body, project=thing.project, timeout=60)
            delete_protection.lift(lxd, stored, thing.path, thing.project)
        lxd.change("DELETE", thing.path, project=thing.project)


def _ours(config: Mapping[str, Any], whose: codec.Spec) -> bool:
    return identity.belongs(identity.held_in_config(config), whose.owner, whose.lab)
