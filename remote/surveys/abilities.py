"""What a host can do for servers' devices and settings. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

import glob
from typing import Iterable, List

from remote.names import GPU, SHIFT
from remote.surveys import lxd, programs
from remote.system import read_text


def missing(wanted: Iterable[str], sockets: List[str]) -> List[str]:
    """Return the abilities that the host lacks.

    Args:
        wanted: `GPU`; `SHIFT`, to show a folder with a server's own ids; or ids that root of the
            host lends to servers, as `uid 1000-1009`, `gid 5-5`.
        sockets: The paths of LXD's socket.
    """
    return [
        want for want in dict.fromkeys(wanted)
        if not (
            _has_gpu() if want == GPU
            else _shifts(sockets) if want == SHIFT
            else _lends(want)
        )
    ]  # fmt: skip


def _has_gpu() -> bool:
    """Whether there is a graphics card; with a driver of its maker's alone it has no DRM device."""
    if glob.glob("/sys/class/drm/card[0-9]*"):
        return True
    classes = glob.glob("/sys/bus/pci/devices/*/class")
    return any(read_text(path).startswith("0x03") for path in classes)


def _shifts(sockets: List[str]) -> bool:
    """Whether LXD has a way to shift ids; also where it does not say."""
    server = lxd.try_query(sockets, "") or {}
    features = server.get("environment", {}).get("kernel_features")
    return not features or "true" in (features.get("idmapped_mounts"), features.get("shiftfs"))


def _lends(ids: str) -> bool:
    """Whether newuidmap or newgidmap lets root map ids; true without it or its /etc/sub?id."""
    kind, _space, part = ids.partition(" ")
    first, _dash, last = part.partition("-")
    lent = read_text(f"/etc/sub{kind}")
    if not lent or not programs.which(f"new{kind}map"):
        return True
    lends: List[range] = []
    for line in lent.splitlines():
        name, _colon, rest = line.strip().partition(":")
        start, _colon, count = rest.partition(":")
        if name in ("root", "0") and start.isdigit() and count.isdigit():
            lends.append(range(int(start), int(start) + int(count)))
    return any(int(first) in part and int(last) in part for part in lends)
