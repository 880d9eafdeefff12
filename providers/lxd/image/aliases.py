"""Image aliases: what they point to, and moving one when all is ready."""

from __future__ import annotations

from providers import errors
from providers.lxd import daemon

MIN_FINGERPRINT = 12


def resolve(lxd: daemon.Daemon, image: str) -> str:
    """Return the fingerprint of an alias, or of a fingerprint's beginning."""
    try:
        return str(lxd.get(f"images/aliases/{image}")["target"])
    except daemon.AbsentError:
        pass
    try:
        return str(lxd.get(f"images/{image}")["fingerprint"])
    except daemon.AbsentError as error:
        known = [entry["name"] for entry in lxd.get("images/aliases", recursion="1")]
        raise errors.BadInputError(
            f"there is no image {image}",
            seen=f"aliases on the host: {', '.join(known) or 'none'}",
            do="lxc image list",
        ) from error


def point(lxd: daemon.Daemon, alias: str, fingerprint: str, description: str) -> None:
    """Make an alias point to an image, whether it exists or not."""
    body = {"target": fingerprint, "description": description}
    try:
        lxd.change("PUT", f"images/aliases/{alias}", body)
    except daemon.AbsentError:
        lxd.change("POST", "images/aliases", {"name": alias, **body})
