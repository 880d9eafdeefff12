"""What LXD has, against what a lab needs of it; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks import conflicts, losses
from checks.lab import claims
from checks.lab.spec import PreflightSpec
from core import problems
from core.names import MAX_NUMBER
from remote import identity
from remote.surveys.facts import LabFacts, Lxd

BRIDGE = re.compile(r"gr-(\d+)")
# The stage of a container that was ready once.
READY = "ready"
OWN_PROFILE = (
    "One of its own: lxc profile create lab; lxc profile device add lab root disk pool=default "
    "path=/; and grappe:profiles: [lab]"
)


def names(spec: PreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
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
                f'is missing: this lab is up as "{student}". To keep it, set grappe:student: '
                f"{student}. If the stack file is a copy of that lab's, remove grappe:id from it "
                "instead.",
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


def _images(spec: PreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    """Refuse images that the host lacks, or that a disk cannot hold, for servers yet to be made."""
    lxd = facts["lxd"]
    made = {
        (item["name"], item["config"].get(losses.IMAGE))
        for item in facts.get("instances", ())
        if item["config"].get(losses.STAGE) == READY
    }
    for index, server in enumerate(spec.servers):
        if not server.image or (server.name, server.image) in made:
            continue
        fingerprint = lxd["aliases"].get(server.image) or next(
            (each for each in lxd["images"] if each.startswith(server.image)), ""
        )
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
        for profile, problem in conflicts.profiles(lxd, spec.profiles, conflicts.NIC):
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
    """Yield what profiles bring into a lab that is up."""
    for profile, problem in conflicts.profiles(lxd, spec.profiles, conflicts.NIC):
        yield f"LXD's profile {profile}: {problem}"


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
