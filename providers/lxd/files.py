"""Files in containers, as the drivers read them."""

from __future__ import annotations

from providers.lxd import daemon


def read(lxd: daemon.Daemon, project: str, container: str, path: str) -> bytes | None:
    """Return the content of a file in a container, None without it; LXD lists a folder as JSON."""
    try:
        return lxd.read_file(f"instances/{container}/files", project=project, file=path)
    except daemon.AbsentError:
        return None
