"""The spec of a lab host, from the stack file of a bare server."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from checks.preflight.lab_host import HostPreflightSpec
from core import codec, problems, validators
from hosts import url
from remote import daemons
from stacks import settings

_DISK = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9/_.:-]{0,100}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabHostSpec(settings.HostSettings):
    """A server to turn into a lab host: its settings, and the stack."""

    KIND: ClassVar[Literal["host"]] = "host"

    owner: str


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> LabHostSpec:
    """Read the configuration of a host stack; the arguments are those of `spec.parse`.

    Raises:
        problems.Mistakes: All mistakes in it.
    """
    mistakes = [
        problems.Mistake(key.partition(":")[2], "is a secret, and would appear in a script.")
        for key in secrets
        if key in config
    ]
    plain = {key: text for key, text in config.items() if key not in secrets}
    given = settings.load(settings.HostSettings, plain, mistakes)
    mistakes += codec.beside(mistakes, problems.collect(_checks(given)))
    if mistakes:
        named = [problems.Mistake(f"{settings.NAMESPACE}:{m.key}", m.reason) for m in mistakes]
        raise problems.Mistakes(sorted(named, key=lambda mistake: mistake.key))
    return LabHostSpec(owner=f"{project}/{stack}", **vars(given))


def preflight(spec: LabHostSpec) -> HostPreflightSpec:
    """Return the preflight of a lab host."""
    return HostPreflightSpec(
        host=spec.host,
        owner=spec.owner,
        lab=spec.id,
        name="preflight",
        daemon=spec.daemon,
        second_disk=spec.second_disk,
        overwrite=spec.overwrite,
    )


def _checks(given: settings.HostSettings) -> problems.Checks:
    yield "id", given.id, validators.problem_of_lab_id(given.id)
    yield "host", url.without_password(given.host), url.problem(given.host)
    if given.host.startswith("netns:"):
        yield "host", given.host, "is a namespace, not a server: local: or ssh://..."
    if given.daemon not in daemons.SOCKETS:
        hint = problems.near(given.daemon, daemons.SOCKETS)
        known = ", ".join(daemons.SOCKETS)
        yield "daemon", given.daemon, f"is not one of {known}.{hint}"
    if given.second_disk and not _DISK.fullmatch(given.second_disk):
        yield "second_disk", given.second_disk, "is not a disk, as /dev/sdb or /dev/sdb1."
    if given.overwrite and not given.second_disk:
        yield "overwrite", given.overwrite, "has no meaning without second_disk."
