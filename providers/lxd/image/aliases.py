"""Look up images, and point aliases at them once they are ready."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from core import codec, errors
from providers.lxd import daemon
from remote import identity

# A property of the image itself: images have no config.
OWNER_PROPERTY = "grappe.owner"
LAB_PROPERTY = "grappe.lab"
# An alias' description ends with its marks; an older Grappe wrote the owner alone.
_DESCRIPTION = re.compile(r" by Grappe for (\S+)(?: \(lab (\S*), incarnation (\S*)\))?$")

S = TypeVar("S", bound=codec.Spec)
# The image's template, `project/name`: a stopped instance that servers are copied from.
TEMPLATE_PROPERTY = "grappe.template"
# A mark of the template: the fingerprint of its image.
PUBLISHED = "user.grappe.published"
# A property of a published image: its alias.
ALIAS_PROPERTY = "grappe.alias"


def resolve(lxd: daemon.Daemon, name: str) -> str:
    """Return the fingerprint of an alias or of a fingerprint's prefix.

    Raises:
        errors.BadInputError: The host has no such image.
    """
    fingerprint = target(lxd, name) or (image(lxd, name) or {}).get("fingerprint")
    if fingerprint:
        return str(fingerprint)
    known = [entry["name"] for entry in lxd.get("images/aliases", recursion="1")]
    raise errors.BadInputError(
        f"there is no image {name}",
        seen=f"aliases on the host: {', '.join(known) or 'none'}",
        do=f"{lxd.program} image list",
    )


def target(lxd: daemon.Daemon, alias: str) -> str:
    """Return the fingerprint that an alias points to; nothing without the alias."""
    return str((daemon.find(lxd, f"images/aliases/{alias}") or {}).get("target", ""))


def image(lxd: daemon.Daemon, fingerprint: str) -> dict[str, Any] | None:
    """Return an image by its fingerprint."""
    return daemon.find(lxd, f"images/{fingerprint}")


def pointed(lxd: daemon.Daemon, alias: str) -> dict[str, Any] | None:
    """Return the image that an alias points to; None without one."""
    fingerprint = target(lxd, alias)
    return image(lxd, fingerprint) if fingerprint else None


def template(lxd: daemon.Daemon, fingerprint: str) -> tuple[str, str] | None:
    """Return project and name of an image's template; None without one."""
    stored = image(lxd, fingerprint) or {"properties": {}}
    project, slash, name = stored["properties"].get(TEMPLATE_PROPERTY, "").partition("/")
    container = daemon.find(lxd, f"instances/{name}", project=project) if slash else None
    if container is None:
        return None
    # During a new publication, the template may belong to the new image already.
    stopped, published = container["status"] == "Stopped", container["config"].get(PUBLISHED)
    return (project, name) if stopped and published == fingerprint else None


def demand(lxd: daemon.Daemon, spec: codec.Spec) -> None:
    """Raise NotOursError if neither the spec's alias nor its image belongs to its lab."""
    entry = daemon.find(lxd, f"images/aliases/{spec.name}")
    stored = image(lxd, entry["target"]) if entry else None
    # Two stacks may share an image under an alias each; its properties name the first stack.
    named, marks = _held(entry or {}), held(stored)
    if stored is None or any(
        identity.belongs(each, spec.owner, spec.lab) for each in (named, marks)
    ):
        return
    holder = named if named["owner"] else marks
    raise errors.NotOursError(
        f"the image alias {spec.name} exists already and was left alone",
        seen=identity.whose(holder, spec.owner),
        do=identity.way_out(holder, spec.owner)
        if holder["owner"] == spec.owner
        else "choose another alias; or, if nobody made it, grappe:adopt: true",
    )


def held(stored: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the marks in an image's properties: `owner` and `lab`."""
    properties = stored["properties"] if stored else {}
    return {
        "owner": properties.get(OWNER_PROPERTY, ""), "lab": properties.get(LAB_PROPERTY, ""),
    }  # fmt: skip


def marks(spec: codec.Spec) -> dict[str, str]:
    """Return the marks as properties of an image."""
    return {OWNER_PROPERTY: spec.owner, **({LAB_PROPERTY: spec.lab} if spec.lab else {})}


def marked(lxd: daemon.Daemon, spec: S) -> S:
    """Return a spec with the marks that its alias really carries."""
    return dataclasses.replace(spec, **_held(lxd.get(f"images/aliases/{spec.name}")))


def _held(entry: Mapping[str, Any]) -> dict[str, str]:
    match = _DESCRIPTION.search(str(entry.get("description", "")))
    owner, lab, incarnation = (text or "" for text in match.groups()) if match else ("", "", "")
    return {"owner": owner, "lab": lab.strip("-"), "incarnation": incarnation}


def point(lxd: daemon.Daemon, spec: codec.Spec, fingerprint: str, verb: str) -> None:
    """Point the spec's alias at an image; create the alias if missing.

    This first flushes the image to the disk, since LXD does not: a power cut would leave an alias
    of a truncated image.

    Args:
        lxd: The daemon.
        spec: The alias' owner and name.
        fingerprint: The image.
        verb: The image's origin: `made` or `published`.
    """
    alias, whose = spec.name, f"(lab {spec.lab or '-'}, incarnation {spec.incarnation})"
    description = f"{verb} by Grappe for {spec.owner} {whose}"
    body = {"target": fingerprint, "description": description}
    lxd.settle()
    try:
        lxd.change("PUT", f"images/aliases/{alias}", body)
    except daemon.AbsentError:
        lxd.change("POST", "images/aliases", {"name": alias, **body})


def set_properties(lxd: daemon.Daemon, fingerprint: str, properties: Mapping[str, str]) -> None:
    """Set the properties of an image that differ."""
    stored = lxd.get(f"images/{fingerprint}")
    merged = {**stored["properties"], **properties}
    if merged != stored["properties"]:
        body = {key: stored[key] for key in ("auto_update", "public", "profiles") if key in stored}
        lxd.change("PUT", f"images/{fingerprint}", {**body, "properties": merged})


def sweep(lxd: daemon.Daemon, spec: codec.Spec, keep: str) -> None:
    """Remove images that killed runs published for an alias but never pointed it at."""
    for stored in lxd.get("images", recursion="1"):
        ours = identity.belongs(held(stored), spec.owner, spec.lab)
        meant = stored["properties"].get(ALIAS_PROPERTY) == spec.name
        if ours and meant and stored["fingerprint"] != keep and not stored.get("aliases"):
            remove_image(lxd, stored["fingerprint"], spec)


def remove_image(lxd: daemon.Daemon, fingerprint: str, spec: codec.Spec) -> None:
    """Remove an image of the spec's lab, unless it is gone or another's, or somebody else names it.

    LXD deletes an image's aliases with it.
    """
    stored = image(lxd, fingerprint)
    if stored and is_free(stored, spec):
        lxd.change("DELETE", f"images/{fingerprint}")


def is_free(stored: Mapping[str, Any], spec: codec.Spec) -> bool:
    """Whether an image is of the spec's lab, and every alias of it too."""
    described = map(_held, stored.get("aliases") or ())
    return all(identity.belongs(each, spec.owner, spec.lab) for each in (held(stored), *described))
