"""Images and their aliases: looked up, and moved when all is ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers import errors
from providers.lxd import daemon

# On the image itself: images have properties, and no config.
OWNER_PROPERTY = "grappe.owner"
# A stopped instance with the image's content, `project/name`, that servers are copied from.
TEMPLATE_PROPERTY = "grappe.template"
# On that instance: the image that it stands for.
PUBLISHED = "user.grappe.published"
# The alias that an image was published for.
ALIAS_PROPERTY = "grappe.alias"


def resolve(lxd: daemon.Daemon, name: str) -> str:
    """Return the fingerprint of an alias, or of a fingerprint's beginning."""
    found = target(lxd, name) or (image(lxd, name) or {}).get("fingerprint")
    if found:
        return str(found)
    known = [entry["name"] for entry in lxd.get("images/aliases", recursion="1")]
    raise errors.BadInputError(
        f"there is no image {name}",
        seen=f"aliases on the host: {', '.join(known) or 'none'}",
        do="lxc image list",
    )


def target(lxd: daemon.Daemon, alias: str) -> str:
    """Return the fingerprint that an alias points to; nothing where there is no alias."""
    try:
        return str(lxd.get(f"images/aliases/{alias}")["target"])
    except daemon.AbsentError:
        return ""


def image(lxd: daemon.Daemon, fingerprint: str) -> dict[str, Any] | None:
    """Return an image by its fingerprint."""
    try:
        return dict(lxd.get(f"images/{fingerprint}"))
    except daemon.AbsentError:
        return None


def template(lxd: daemon.Daemon, fingerprint: str) -> tuple[str, str] | None:
    """Return project and name of the instance that stands for an image; None where none does."""
    found = image(lxd, fingerprint) or {"properties": {}}
    project, slash, name = found["properties"].get(TEMPLATE_PROPERTY, "").partition("/")
    if not slash:
        return None
    try:
        there = lxd.get(f"instances/{name}", project=project)
    except daemon.AbsentError:
        return None
    # While an image is published anew, its copy is another's already.
    stands = there["status"] == "Stopped" and there["config"].get(PUBLISHED) == fingerprint
    return (project, name) if stands else None


def demand(lxd: daemon.Daemon, alias: str, owner: str) -> None:
    """Raise NotOursError when neither an alias nor the image it points to is the owner's."""
    try:
        entry = lxd.get(f"images/aliases/{alias}")
    except daemon.AbsentError:
        return
    found = image(lxd, entry["target"])
    # Two stacks may have the same image under an alias each: its properties name the first.
    ours = str(entry.get("description", "")).endswith(f" for {owner}")
    if ours or found is None or found["properties"].get(OWNER_PROPERTY) == owner:
        return
    holder = found["properties"].get(OWNER_PROPERTY)
    raise errors.NotOursError(
        f"the image alias {alias} exists already and was left alone",
        seen=f"it belongs to {holder}" if holder else "it was not made by Grappe",
        do="choose another alias; or, if nobody made it, grappe:adopt: true",
    )


def point(lxd: daemon.Daemon, alias: str, fingerprint: str, description: str) -> None:
    """Make an alias point to an image, whether it exists or not."""
    body = {"target": fingerprint, "description": description}
    try:
        lxd.change("PUT", f"images/aliases/{alias}", body)
    except daemon.AbsentError:
        lxd.change("POST", "images/aliases", {"name": alias, **body})


def set_properties(lxd: daemon.Daemon, fingerprint: str, properties: Mapping[str, str]) -> None:
    """Set the properties of an image that differ."""
    found = lxd.get(f"images/{fingerprint}")
    merged = {**found["properties"], **properties}
    if merged != found["properties"]:
        body = {key: found[key] for key in ("auto_update", "public", "profiles") if key in found}
        lxd.change("PUT", f"images/{fingerprint}", {**body, "properties": merged})


def sweep(lxd: daemon.Daemon, alias: str, owner: str, keep: str) -> None:
    """Remove what killed runs of the owner published for an alias, and never pointed it at."""
    for found in lxd.get("images", recursion="1"):
        ours = found["properties"].get(OWNER_PROPERTY) == owner
        meant = found["properties"].get(ALIAS_PROPERTY) == alias
        if ours and meant and found["fingerprint"] != keep and not found.get("aliases"):
            remove_image(lxd, found["fingerprint"], owner)


def remove_image(lxd: daemon.Daemon, fingerprint: str, owner: str) -> None:
    """Remove an image of the owner's; one that is gone or another's is left."""
    found = image(lxd, fingerprint)
    if found and found["properties"].get(OWNER_PROPERTY) == owner:
        lxd.change("DELETE", f"images/{fingerprint}")
