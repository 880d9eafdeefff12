"""Why LXC did not start a container, from its log."""

from __future__ import annotations

import re

from core import errors
from providers.lxd import daemon
from providers.lxd.container import model

# The first errors of a log; the others follow from them.
SHOWN = 2
# `lxc NAME TIME ERROR    PART - FILE:FUNCTION:LINE - MESSAGE`
_ERROR = re.compile(r"\bERROR\s+\S+ - \S+ - (.+)")
# Patterns of LXC's errors and their remedies, the most specific first.
_REMEDIES = {
    r"new[ug]idmap: [ug]id range \[(\d+)-\d+\)": (
        "its raw.idmap maps an id that the host does not lend to root: on the host add root:{0}:1 "
        "to /etc/subuid and /etc/subgid, then systemctl restart lxd"
    ),
    r"sysctl|/proc/sys/": (
        "a linux.sysctl setting in its config has a name or a value that the kernel refuses"
    ),
    r"[Ss]et limit|Too many open files": "a kernel limit in its limits is out of bounds",
    r"seccomp": "raw.seccomp in its config is not a policy that LXC reads",
    r"[Mm]ount": "a device or raw.lxc names a source that cannot be mounted",
}


def diagnose(
    lxd: daemon.Daemon, spec: model.ContainerSpec, error: errors.DaemonError, *, hung: bool
) -> errors.DaemonError:
    """Return the refusal of a start with the errors in LXC's log, if any, and their remedy.

    Args:
        lxd: The daemon.
        spec: The container.
        error: The refusal.
        hung: Whether the start hung, and was ended.
    """
    try:
        log = lxd.read_file(f"instances/{spec.name}/logs/lxc.log", project=spec.project)
    except (daemon.AbsentError, errors.DaemonError):
        return error
    found = _ERROR.findall(log.decode(errors="replace"))[:SHOWN]
    if not found and not hung:
        return error
    whole = f"{lxd.program} info {spec.name} --project {spec.project} --show-log"
    return errors.DaemonError(
        f"{spec.id} does not start",
        seen="\n".join(found) or "its first process hangs at once; Grappe ended the start",
        do=f"{remedy(found)}; all of it, on the host: {whole}",
    )


def remedy(messages: list[str]) -> str:
    """Return what to do about LXC's errors; pure."""
    text = "\n".join(messages)
    for pattern, way in _REMEDIES.items():
        if match := re.search(pattern, text):
            return way.format(*filter(None, match.groups()))
    return "look at what changed last in its config, limits and devices"
