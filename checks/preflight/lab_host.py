"""The preflight of a lab host: its spec, and its judgement of the server; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from core import codec, problems
from remote.surveys.facts import ServerFacts

# The memory in bytes that the lab sheet asks for.
MEMORY = 5000 * 10**6
PROCESSORS = 3
# A mirror needs this many times the used space: room to grow.
ROOM = 1.2
# The NAT networks of VirtualBox and of libvirt.
_BEHIND = tuple(map(ipaddress.ip_network, ("10.0.2.0/24", "192.168.122.0/24")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostPreflightSpec(codec.Spec):
    """A planned lab host; its fields are named as in the stack file."""

    MARKED: ClassVar[bool] = False

    daemon: str
    second_disk: str
    overwrite: bool


def judge(spec: HostPreflightSpec, facts: ServerFacts) -> list[problems.Mistake]:
    """Return everything on the server that prevents the lab host.

    Args:
        spec: The lab host.
        facts: The result of `remote.surveys.lab_host`.
    """
    return [*_abilities(spec, facts), *_daemons(spec, facts), *_disk(spec, facts)]


def warnings(spec: HostPreflightSpec, facts: ServerFacts) -> Iterator[str]:
    """Yield what falls short of the sheet without preventing the lab."""
    if facts["memory"] < MEMORY:
        yield f"it has {facts['memory'] // 10**6} MB of memory; the sheet asks for 5000"
    if facts["processors"] < PROCESSORS:
        yield f"it has {facts['processors']} processors; the sheet asks for {PROCESSORS}"
    addresses = [ipaddress.ip_address(text) for text in facts["addresses"]]
    if addresses and all(any(address in net for net in _BEHIND) for address in addresses):
        yield (
            f"its address {addresses[0]} is behind its host's NAT: give the machine a "
            "bridged network, or no student reaches it"
        )
    mine = facts["daemons"].get(spec.daemon)
    if mine and mine.get("strangers"):
        yield (
            f"its {spec.daemon} holds {mine['strangers']} instances of somebody's: it is taken as "
            "it is, and nothing of it is changed"
        )


def _abilities(spec: HostPreflightSpec, facts: ServerFacts) -> Iterator[problems.Mistake]:
    key = "grappe:host"
    for program in facts["missing"]:
        yield problems.Mistake(key, f"{spec.host} has no {program}, which every step needs.")
    if not facts["systemd"]:
        yield problems.Mistake(key, f"{spec.host} does not run systemd, which Grappe needs.")
    if not facts["netfilter"]:
        yield problems.Mistake(
            key, f"the kernel of {spec.host} has no netfilter: it could not forward a port."
        )


def _daemons(spec: HostPreflightSpec, facts: ServerFacts) -> Iterator[problems.Mistake]:
    for name, daemon in facts["daemons"].items():
        if name != spec.daemon and (daemon.get("instances") or "error" in daemon):
            held = f"holds {daemon.get('instances', 'unknown')} instances"
            yield problems.Mistake(
                "grappe:daemon",
                f'"{spec.daemon}" would run beside {name}, which {held}. Set grappe:daemon: '
                f"{name}, or remove it from that machine first.",
            )


def _disk(spec: HostPreflightSpec, facts: ServerFacts) -> Iterator[problems.Mistake]:
    if not spec.second_disk:
        return
    root = facts["root"]
    if root["type"] != "btrfs":
        reason = f"/ of {spec.host} is {root['type']}: only btrfs takes a mirror."
        yield problems.Mistake("grappe:second_disk", reason)
    if len(root["devices"]) > 1 and root["mirrored"]:
        # Mirrored by an earlier run; the kernel may have given the name to another disk since.
        return
    disk, whole = _find(spec.second_disk, facts["disks"])
    if disk is None:
        reasons = [f'"{spec.second_disk}" does not exist. Free disks: {_free(facts)}.']
    elif _is_added(disk, root):
        # An earlier run added it.
        return
    elif any(part["path"] in root["devices"] for part in [disk, *_parts(disk), *_parts(whole)]):
        reasons = [f'"{spec.second_disk}" is the root disk. Free disks: {_free(facts)}.']
    else:
        reasons = list(_unfit(spec, disk, root["used"]))
    for reason in reasons:
        yield problems.Mistake("grappe:second_disk", reason)


def _unfit(spec: HostPreflightSpec, disk: Mapping[str, Any], used: int) -> Iterator[str]:
    parts = [disk, *_parts(disk)]
    mounted = next((part for part in parts if part["mounted"]), None)
    held = next((part for part in parts if part["holds"]), None)
    if mounted:
        yield f'"{mounted["path"]}" is mounted on {mounted["mounted"]}.'
    elif held and not spec.overwrite:
        yield f'"{held["path"]}" holds {held["holds"]}. If it may be lost: grappe:overwrite: true'
    if disk["size"] < ROOM * used:
        yield (
            f'"{spec.second_disk}" is too small: {_size(disk["size"])}, and / uses {_size(used)}. '
            f"At least {_size(ROOM * used)}."
        )


def _parts(disk: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    parts: Sequence[Mapping[str, Any]] = disk.get("parts", ())
    return parts


def _is_added(disk: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether an earlier run made this disk, or its one partition, a mirror of /."""
    mine = {part["path"] for part in _parts(disk)} or {disk["path"]}
    return len(mine) == 1 and mine < set(root["devices"]) and root["devices"][0] not in mine


def _find(path: str, disks: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
    """Return a disk or partition, and the disk that it is on."""
    parts = ((part, disk) for disk in disks for part in (disk, *_parts(disk)))
    return next((found for found in parts if found[0]["path"] == path), (None, None))


def _free(facts: ServerFacts) -> str:
    free = [
        f"{disk['path']} ({_size(disk['size'])})"
        for disk in facts["disks"]
        if disk["type"] in {"disk", "loop"}
        and not any(
            part["holds"] or part["mounted"] or part["path"] in facts["root"]["devices"]
            for part in (disk, *disk["parts"])
        )
        and disk["size"]
    ]
    return ", ".join(free) or "none"


def _size(value: float) -> str:
    return f"{value / 2**30:.1f} GiB"
