"""What LXD has, against what a lab needs of it; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks import profiles
from checks.preflight import claims
from checks.preflight.spec import PlannedServer, PreflightSpec
from core import problems
from core.names import IMAGE, MAX_NUMBER, READY, STAGE
from remote import identity
from remote.surveys.facts import LabFacts, Lxd

BRIDGE = re.compile(r"gr-(\d+)")
OWN_PROFILE = (
    "One of its own: lxc profile create lab; lxc profile device add lab root disk pool=default "
    "path=/; and grappe:profiles: [lab]"
)


def taken_names(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    """Refuse a bridge or project that another lab holds, and a lab under another name."""
    networks = {network["name"]: network for network in lxd["networks"]}
    projects = {project["name"]: project for project in lxd["projects"]}
    if (bridge := networks.get(spec.bridge)) and not claims.is_ours(spec, bridge):
        yield problems.Mistake(
            "grappe:number",
            f"{spec.number} is {claims.whose(spec, bridge)}, on {spec.host}. "
            f"Free: {free_numbers(lxd)}.{claims.rename_remedy(spec, bridge)}",
        )
    if (project := projects.get(spec.project)) and not claims.is_ours(spec, project):
        yield problems.Mistake(
            "grappe:student", f'"{spec.student}" is {claims.whose(spec, project)}: the LXD project '
            f"{spec.project} exists on {spec.host}.",
        )  # fmt: skip
    yield from _renamed(spec, lxd)


def _renamed(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    """Refuse a lab whose resources exist under another student's name."""
    for project in lxd["projects"]:
        held = identity.held_in_config(project["config"])
        student = project["name"].removeprefix("grappe-")
        if spec.lab and held["lab"] == spec.lab and student != spec.student:
            yield problems.Mistake(
                "grappe:student",
                f'"{spec.student}" is another name: this lab is up as "{student}". To keep it, set '
                f"grappe:student: {student}. If the stack file is a copy of that lab's, remove "
                "grappe:id from it instead.",
            )


def missing(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse images, profiles, pools and cluster members that the host lacks."""
    lxd = facts["lxd"]
    yield from _images(spec, facts)
    yield from _profiles(spec, lxd)
    pools = lxd.get("pools", [])
    for key, pool in spec.pools if "pools" in lxd else ():
        if pool not in pools:
            known = ", ".join(sorted(pools)) or "none"
            yield problems.Mistake(key, f'"{pool}" is not a pool of the host. Its own: {known}.')
    yield from _full(spec, facts)
    members = lxd.get("members", [])
    for index, server in enumerate(spec.servers):
        if server.target and server.target not in members:
            known = ", ".join(members)
            have = (
                f"Its members: {known}." if known else "The host's LXD is not a cluster: remove it."
            )
            yield problems.Mistake(
                f"grappe:servers[{index}].target", f'"{server.target}" is not a member. {have}'
            )


def _full(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse a pool that has no room for the images of servers yet to be made on it."""
    key, lxd = "grappe:pool", facts["lxd"]
    pool = next((pool for name, pool in spec.pools if name == key), "")
    space = lxd.get("spaces", {}).get(pool)
    if space is None:
        return
    wanted = [
        _fingerprint(server.image, lxd) for server in _yet_to_be_made(spec, facts) if server.disk
    ]
    # A pool of kind dir has a whole copy of each server.
    unpacked = [each for each in wanted if each not in space["unpacked"]]
    counted = wanted if space["driver"] == "dir" else set(unpacked)
    need = sum(lxd.get("sizes", {}).get(fingerprint, 0) for fingerprint in counted)
    if need > space["free"]:
        yield problems.Mistake(
            key, f'"{pool}" has {space["free"] >> 20}MiB left, and the servers\' images take '
            f"{need >> 20}MiB. Another pool, or there: lxc storage info {pool}",
        )  # fmt: skip


def unlimited(spec: PreflightSpec, facts: LabFacts) -> Iterator[str]:
    """Yield the pools on which a disk's size limits nothing."""
    spaces = facts["lxd"].get("spaces", {})
    for pool in dict.fromkeys(pool for _key, pool in spec.pools):
        if pool in spaces and spaces[pool]["driver"] == "dir":
            yield (
                f"the pool {pool} is of kind dir, which keeps nobody to a disk's size unless its "
                "file system has project quotas"
            )


def _yet_to_be_made(spec: PreflightSpec, facts: LabFacts) -> list[PlannedServer]:
    """Return the servers that need an image of the host; one that was ready once needs none."""
    made = {
        (item["name"], item["config"].get(IMAGE))
        for item in facts.get("instances", ())
        if item["config"].get(STAGE) == READY
    }
    return [
        server for server in spec.servers
        if server.image and (server.name, server.image) not in made
    ]  # fmt: skip


def _fingerprint(image: str, lxd: Lxd) -> str:
    """Return the fingerprint of an alias, or of the beginning of one; empty for none."""
    return lxd["aliases"].get(image) or next(
        (each for each in lxd["images"] if each.startswith(image)), ""
    )


def _images(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse images that the host lacks, or that a disk cannot hold, for servers yet to be made."""
    lxd = facts["lxd"]
    wanting = _yet_to_be_made(spec, facts)
    for index, server in enumerate(spec.servers):
        if server not in wanting:
            continue
        fingerprint = _fingerprint(server.image, lxd)
        least = lxd.get("sizes", {}).get(fingerprint, 0)
        if 0 < server.disk < least:
            yield problems.Mistake(
                f"grappe:servers[{index}].disk",
                f"{server.disk >> 20}MiB is too small: the image alone takes {least >> 20}MiB.",
            )
        if not fingerprint:
            aliases = ", ".join(sorted(lxd["aliases"])) or "none"
            yield problems.Mistake(
                f"grappe:servers[{index}].image",
                f'"{server.image}" is not an image of the host. Its aliases: {aliases}.',
            )


def _profiles(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    if all(project["name"] != spec.project for project in lxd["projects"]):
        for profile, problem in profiles.obstacles(lxd, spec.profiles, profiles.NIC):
            yield problems.Mistake(
                "grappe:profiles", f'"{profile}" cannot be used: {problem}. {OWN_PROFILE}'
            )
    for profile in spec.profiles:
        if profile not in lxd["profiles"]:
            own = ", ".join(sorted(lxd["profiles"]))
            yield problems.Mistake(
                "grappe:profiles", f'"{profile}" is not a profile of the host. Its own: {own}.'
            )


def brought(spec: PreflightSpec, lxd: Lxd) -> Iterator[str]:
    """Yield the faults of profiles as notes for a lab that is up; a new lab is refused for them."""
    for profile, problem in profiles.obstacles(lxd, spec.profiles, profiles.NIC):
        yield f"LXD's profile {profile}: {problem}"


def shared(spec: PreflightSpec, lxd: Lxd) -> Iterator[str]:
    """Yield what profiles give away to every student."""
    for profile, what in profiles.shared(lxd, spec.profiles):
        yield f"LXD's profile {profile} {what}"


def free_numbers(lxd: Lxd) -> str:
    """Return the numbers that no bridge of the host holds, as ranges."""
    taken = {
        int(match.group(1))
        for network in lxd["networks"]
        if (match := BRIDGE.fullmatch(network["name"]))
    }
    ranges, start = [], None
    for number in range(1, MAX_NUMBER + 2):
        free = number <= MAX_NUMBER and number not in taken
        if free and start is None:
            start = number
        elif not free and start is not None:
            ranges.append(f"{start}" if start == number - 1 else f"{start} to {number - 1}")
            start = None
    return ", ".join(ranges[:3])
