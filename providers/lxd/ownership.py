"""Whose a thing in LXD is: a mark in its config, looked at before every change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers import errors
from providers.lxd import daemon


def demand(found: Mapping[str, Any], owner: str, what: str) -> None:
    """Raise NotOursError unless the thing found carries our mark."""
    holder = found.get("config", {}).get(daemon.OWNER)
    if holder == owner:
        return
    whose = f"it belongs to {holder}" if holder else "it was not made by Grappe"
    raise errors.NotOursError(
        f"{what} exists already and was left alone", seen=whose, do="choose another name or number"
    )


def identity(found: Mapping[str, Any]) -> str:
    """Return what tells an instance from another of the same name, made before or after it."""
    return str(found["config"].get("volatile.uuid") or found.get("created_at", ""))


def visible(config: Mapping[str, str]) -> dict[str, str]:
    """Return the config that a person sets: without LXD's own records and our marks."""
    hidden = ("volatile.", "image.", "user.grappe.")
    return {key: value for key, value in sorted(config.items()) if not key.startswith(hidden)}
