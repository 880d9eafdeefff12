"""The servers, volumes and snapshots that a changed stack file would delete; pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from checks.preflight.spec import PlannedServer, PreflightSpec
from core import names
from remote import identity


@dataclasses.dataclass(frozen=True)
class Loss:
    """A server, a volume or a snapshot, whose content would be lost.

    Attributes:
        name: The server; a volume is `yuno1/data`, a snapshot `yuno1/exam`.
        reason: How the stack file differs from what exists.
        keep: The line of the stack file that keeps it; empty where there is none.
        ordered: Whether a mark on the server orders its recreation.
    """

    name: str
    reason: str
    keep: str = ""
    ordered: bool = False


def find(
    spec: PreflightSpec,
    was: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
    *,
    left: Collection[str] = (),
) -> list[Loss]:
    """Return all losses.

    Args:
        spec: The planned lab.
        was: The lab of the last `up`, by field; empty before the first.
        instances: Those in the lab's LXD project: `name`, `config`, `ephemeral`, `location`.
        left: What the machine of the last `up` has of the lab, where that is another one: servers,
            and volumes (`yuno1/data`) that have no server there.
    """
    lost = {
        name: Loss(
            name,
            f"grappe:host is {spec.host}, and it was made on {was['host']}",
            f"grappe:host: {was['host']}",
        )
        for name in left
    }
    before = {server["name"]: server for server in was.get("servers", ())}
    if was and was["student"] != spec.student:
        # Every resource has the student's name, and would be created anew.
        reason = f"grappe:student is {spec.student}, and it was made for {was['student']}"
        for name in before:
            lost.setdefault(name, Loss(name, reason, f"grappe:student: {was['student']}"))
    else:
        # An interrupted move may have left servers here that the stack file changes.
        for loss in _changed(spec, before, instances):
            # A volume and a snapshot may have one name.
            key = loss.name if loss.name in left else f"{loss.name} {loss.reason}"
            lost.setdefault(key, loss)
    return sorted(lost.values(), key=lambda loss: loss.name)


def _changed(
    spec: PreflightSpec,
    before: Mapping[str, Mapping[str, Any]],
    instances: Sequence[Mapping[str, Any]],
) -> Iterator[Loss]:
    """Yield the losses on the wanted host; `before` has the servers of the last `up` by name."""
    ours = {
        item["name"]: item
        for item in instances
        if identity.belongs(identity.held_in_config(item["config"]), spec.owner, spec.lab)
    }
    planned = {server.name: (index, server) for index, server in enumerate(spec.servers)}
    listed = set()
    for name in before:
        if name in ours and name not in planned:
            keep = f"grappe:servers: a server with name: {name}"
            listed.add(name)
            yield Loss(name, "is no longer in the stack file", keep)
    for name, item in ours.items():
        for loss in _recreated(*planned[name], item, before.get(name)) if name in planned else ():
            listed.add(name)
            yield loss
    for name in before:
        # A volume outlives its server, and goes with the lines of the stack file.
        yield from _volumes(name, before[name], *planned.get(name, (None, None)))
        if name in ours and name in planned and name not in listed:
            yield from _snapshots(name, before[name], *planned[name])


def _volumes(
    name: str, was: Mapping[str, Any], index: int | None, server: PlannedServer | None
) -> Iterator[Loss]:
    """Yield the volumes that a server had and has no more; `server` is None where it went too."""
    gone = set(was.get("volumes", ())) - set(server.volumes if server else ())
    key = f"grappe:servers[{index}].volumes" if server else f"grappe:servers: {name}, with volumes"
    for volume in sorted(gone):
        pool, short = volume.split("/", 1)
        reason = "the volume is no longer in the stack file"
        yield Loss(f"{name}/{short}", reason, f"{key}: one with name: {short} and pool: {pool}")


def _snapshots(
    name: str, was: Mapping[str, Any], index: int, server: PlannedServer
) -> Iterator[Loss]:
    """Yield the snapshots that a server had and has no more."""
    for snapshot in sorted(set(was.get("snapshots", ())) - set(server.snapshots)):
        reason = "the snapshot is no longer in the stack file"
        keep = f"grappe:servers[{index}].snapshots: [{', '.join(was['snapshots'])}]"
        yield Loss(f"{name}/{snapshot}", reason, keep)


def renamed(
    spec: PreflightSpec,
    was: Mapping[str, Any],
    instances: Sequence[Mapping[str, Any]],
    names: str | None = None,
) -> Iterator[str]:
    """Yield a refusal for each server that somebody renamed in LXD, with the commands that undo it.

    An `up` would create an empty server under the old name. A copy for an image is never marked
    ready, so it does not count as renamed.

    Args:
        spec: The planned lab.
        was: The lab of the last `up`, by field.
        instances: Those in the lab's LXD project.
        names: The servers that may go, separated by commas, as for `permitted`.
    """
    allowed = set((names or "").split(","))
    marked = _marked(instances, spec.owner, spec.lab)
    before = {server["name"] for server in was.get("servers", ())}
    planned = {server.name for server in spec.servers}
    strange = strangers(instances, spec.owner, spec.lab, before | planned)
    for name in sorted((before & planned) - marked.keys() - allowed) if strange else ():
        yield (
            f"{name} is not there, and {' or '.join(strange)} has this lab's mark: somebody "
            f"renamed it. On the host: {renaming_back(strange[0], name, spec.project)}. "
            f"If it may go: lxc delete --force {strange[0]} --project {spec.project}. If it is a "
            f"copy: ./lab up {identity.stack_of(spec.owner)} --rebuild {name}"
        )


def strangers(
    instances: Sequence[Mapping[str, Any]], owner: str, lab: str, names: Collection[str]
) -> list[str]:
    """Return the lab's finished servers in LXD that have none of its names, sorted."""
    return sorted(finished(instances, owner, lab) - set(names))


def finished(instances: Sequence[Mapping[str, Any]], owner: str, lab: str) -> set[str]:
    """Return the names of the lab's instances that became ready."""
    return {name for name, ready in _marked(instances, owner, lab).items() if ready}


def used(instances: Sequence[Mapping[str, Any]], owner: str, lab: str) -> set[str]:
    """Return the names of the lab's instances that may hold somebody's work."""
    creating = {
        item["name"] for item in instances if item["config"].get(names.STAGE) == names.CREATING
    }
    return set(_marked(instances, owner, lab)) - creating


def renaming_back(current: str, name: str, project: str) -> str:
    """Return the commands that give a server its name back, on the host."""
    stop = f"lxc stop {current} --project {project}"
    return f"{stop}; lxc rename {current} {name} --project {project}"


def _marked(instances: Sequence[Mapping[str, Any]], owner: str, lab: str) -> dict[str, bool]:
    """Return the instances with the lab's mark by name, and whether each was finished."""
    return {
        item["name"]: item["config"].get(names.STAGE) == names.READY
        for item in instances
        if identity.belongs(identity.held_in_config(item["config"]), owner, lab)
    }


def permitted(losses: Sequence[Loss], names: str | None) -> tuple[list[Loss], list[Loss]]:
    """Split losses into those that stop a run and those that it only reports.

    Args:
        losses: All of them.
        names: The servers and volumes that may go, separated by commas; None if no loss stops
            the run.
    """
    allowed = set((names or "").split(","))
    stopped = [
        loss for loss in losses if names is not None and not {loss.name, _server(loss)} & allowed
    ]
    return stopped, [loss for loss in losses if loss not in stopped]


def refusal(stack: str, losses: Sequence[Loss]) -> str:
    """Return the message of a run that stops because of losses."""
    servers = {loss.name for loss in losses if "/" not in loss.name}
    # The loss of a server includes its volumes.
    names = [loss.name for loss in losses if "/" not in loss.name or _server(loss) not in servers]
    count = "1 thing" if len(names) == 1 else f"{len(names)} things"
    if not any("/" in name for name in names):
        count = count.replace("thing", "server")
    width = max(len(loss.name) for loss in losses)
    lines = [f"{count} would be recreated or removed, with everything in it; nothing was changed"]
    lines += [f"  {loss.name:<{width}}  {loss.reason}" for loss in losses]
    lines.append(f"  allow it: ./lab up {stack} --rebuild {' '.join(names)}")
    lines += [f"  or keep {loss.name}: {loss.keep}" for loss in losses if loss.keep]
    return "\n".join(lines)


def _server(loss: Loss) -> str:
    return loss.name.partition("/")[0]


def _recreated(
    index: int, server: PlannedServer, item: Mapping[str, Any], was: Mapping[str, Any] | None
) -> Iterator[Loss]:
    config, key = item["config"], f"grappe:servers[{index}]"
    if config.get(names.STAGE) == names.CREATING:
        # The container never became ready, so it holds nobody's work.
        return
    image = config.get(names.IMAGE, "")
    if config.get(names.STAGE) == names.RECREATE:
        yield Loss(server.name, "is marked to be recreated", ordered=True)
    elif server.source and image and image != server.source:
        reason = f"grappe:image is {server.source}, and {server.name} was made from {image}"
        yield Loss(server.name, reason, f"{key}.image: {image}")
    elif item.get("ephemeral", False) != server.ephemeral:
        made_with = str(item.get("ephemeral", False)).lower()
        reason = f"ephemeral is {str(server.ephemeral).lower()}, and it was made with {made_with}"
        yield Loss(server.name, reason, f"{key}.ephemeral: {made_with}")
    elif server.ephemeral and "stopped" == server.state != (was or {}).get("state", "running"):
        reason = "its state is stopped, and an ephemeral server is deleted when it stops"
        yield Loss(server.name, reason, f"{key}.state: running")
    elif item.get("location") in {"none", "", None}:
        # The host is in no cluster.
        return
    elif server.target and item["location"] != server.target:
        reason = f"target is {server.target}, and it is on {item['location']}"
        yield Loss(server.name, reason, f"{key}.target: {item['location']}")
    elif was is not None and bool(was.get("target")) != bool(server.target):
        # Only the creation of a server chooses its member.
        made_with, wanted = was.get("target") or "''", server.target or "''"
        reason = f"target is {wanted}, and it was made with {made_with}"
        yield Loss(server.name, reason, f"{key}.target: {made_with}")
