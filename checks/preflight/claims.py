"""The keys and things that a lab claims, and their holders; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.preflight.spec import PreflightSpec
from core import problems
from remote import identity
from remote.surveys.facts import LabFacts, RelayFacts


def holders(spec: PreflightSpec, facts: LabFacts | RelayFacts) -> dict[str, str]:
    """Return the owners of the keys that other labs hold."""
    return {
        key: whose(spec, fragment)
        for fragment in facts["fragments"]
        if not is_ours(spec, fragment)
        for key in fragment["keys"]
    }


def own_keys(spec: PreflightSpec, facts: LabFacts | RelayFacts) -> dict[str, str]:
    """Return the keys that this lab holds now, each with its server."""
    return {
        key: fragment["id"].rpartition("/")[2].removesuffix("_ssh")
        for fragment in facts["fragments"]
        if is_ours(spec, fragment)
        for key in fragment["keys"]
    }


def still_held(value: object, holder: str, server: str) -> str:
    """Return the refusal of a value that another server of this lab holds until a run ends."""
    return (
        f"{problems.show(value)} still belongs to {holder}. Set port, address and domain of "
        f"{server}, or remove {holder} in a run of its own first."
    )


def is_ours(spec: PreflightSpec, thing: Mapping[str, Any]) -> bool:
    """Whether an LXD object or a fragment belongs to this lab."""
    return identity.belongs(_marks(thing), spec.owner, spec.lab)


def whose(spec: PreflightSpec, thing: Mapping[str, Any]) -> str:
    """Return in words who holds an LXD object or a fragment."""
    held = _marks(thing)
    owner = held.get("owner") or ""
    if not owner:
        return "taken by something that Grappe did not make"
    stack = identity.stack_of(owner)
    if owner == spec.owner:
        return f"another {stack}'s, of another folder or state"
    return f"{stack}'s (stack {owner})"


def rename_remedy(spec: PreflightSpec, bridge: Mapping[str, Any]) -> str:
    """Return the remedy where the holder may be this same lab, renamed before labs had ids."""
    held = _marks(bridge)
    if held.get("lab") and held["owner"] == spec.owner:
        return f" Then {identity.way_out(held, spec.owner)}"
    project, _slash, stack = (held.get("owner") or "").rpartition("/")
    now = identity.stack_of(spec.owner)
    if held.get("lab") or not stack or stack == now or project != spec.owner.rpartition("/")[0]:
        return ""
    return f" If this stack was renamed from {stack}: ./lab rename {stack} {now}"


def _marks(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the marks of an LXD object or of a fragment."""
    return identity.held_in_config(thing["config"]) if "config" in thing else thing
