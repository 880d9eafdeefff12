"""Ownership of objects in LXD: every change first checks the marks in their config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from core import codec, errors, names
from providers.lxd import daemon
from remote import identity

S = TypeVar("S", bound=codec.Spec)


def demand(item: Mapping[str, Any], spec: codec.Spec, name: str) -> None:
    """Raise NotOursError unless the thing found carries the marks of the spec's lab."""
    held = identity.held_in_config(item.get("config", {}))
    if identity.belongs(held, spec.owner, spec.lab):
        return
    raise errors.NotOursError(
        f"{name} exists already and was left alone",
        seen=identity.whose(held, spec.owner), do=identity.way_out(held, spec.owner),
    )  # fmt: skip


def find(
    lxd: daemon.Daemon, path: str, spec: codec.Spec, name: str, *, project: str = ""
) -> dict[str, Any] | None:
    """Return an object of the spec's lab by its path in the API; None without it.

    Raises:
        errors.NotOursError: It belongs to somebody else; `name` names it.
    """
    item = daemon.find(lxd, path, project=project)
    if item is not None:
        demand(item, spec, name)
    return item


def container(
    lxd: daemon.Daemon, spec: codec.Spec, project: str, name: str
) -> dict[str, Any] | None:
    """Return a container of the spec's lab, as `find` does."""
    found = daemon.find(lxd, f"instances/{name}", project=project)
    if found is None:
        return None
    try:
        demand(found, spec, f"the container {project}/{name}")
    except errors.NotOursError as error:
        if identity.held_in_config(found["config"])["owner"]:
            raise
        keys = " ".join(
            f"{key}={text}" for key, text in [*marks(spec).items(), (names.STAGE, names.READY)]
        )
        raise errors.NotOursError(
            error.brief, error.seen,
            do=f"if it is this lab's, as one restored from a backup: {lxd.program} config set "
            f"{name} {keys} --project {project}; else rename it, or choose another name or number",
        ) from error  # fmt: skip
    return found


def marks(spec: codec.Spec) -> dict[str, str]:
    """Return a spec's marks as config, without empty ones."""
    config = {identity.MARKS[field]: text for field, text in codec.marks(spec).items()}
    return {mark: text for mark, text in config.items() if text}


def marked(spec: S, config: Mapping[str, str]) -> S:
    """Return a spec with the marks that its thing's config really carries."""
    return codec.marked(spec, identity.held_in_config(config))


def identity_of(instance: Mapping[str, Any]) -> str:
    """Return an id that tells an instance from earlier or later ones of its name."""
    return str(instance["config"].get("volatile.uuid") or instance.get("created_at", ""))


def visible(config: Mapping[str, str]) -> dict[str, str]:
    """Return the config that people set: without LXD's own records and our marks."""
    hidden = ("volatile.", "image.", "user.grappe.")
    return {key: value for key, value in sorted(config.items()) if not key.startswith(hidden)}
