"""The kernel's limits and settings that a container can have; pure."""

from __future__ import annotations

import re

from core import problems

# The prefix of LXD's keys for settings of the kernel.
SYSCTL = "linux.sysctl."
# The kernel's settings that a container has for itself (namespaces(7), sysctl(8)).
_OWN_SYSCTL = (
    "net.", "fs.mqueue.", "kernel.domainname", "kernel.hostname", "kernel.msg", "kernel.sem",
    "kernel.shm", "user.",
)  # fmt: skip
# The kernel's limits that LXC knows (prlimit), with the least that a server boots with.
_LIMITS = {
    "as": 2**32, "core": 0, "cpu": 60, "data": 2**26, "fsize": 2**20, "locks": 0, "memlock": 0,
    "msgqueue": 0, "nice": 0, "nofile": 64, "nproc": 64, "rss": 0, "rtprio": 0, "rttime": 0,
    "sigpending": 0, "stack": 2**20,
}  # fmt: skip
# The most open files that Linux allows (fs.nr_open).
MOST_FILES = 2**30


def problem_of_limit(name: str, text: str) -> str:
    """Return what is wrong with a limit of the kernel; or nothing.

    LXD accepts any, and with a bad one the server never starts.
    """
    if name not in _LIMITS:
        hint = problems.near(name, _LIMITS)
        return f"is not a limit of the kernel: {', '.join(_LIMITS)}.{hint}"
    bound = r"(unlimited|[0-9]+)"
    known = re.fullmatch(rf"{bound}(?::{bound})?", text)
    if not known:
        return 'is not a bound of the kernel: "1024", "1024:2048" (soft:hard), "unlimited".'
    soft, hard = (
        float("inf") if each == "unlimited" else int(each)
        for each in (known.group(1), known.group(2) or known.group(1))
    )
    if soft > hard:
        return "has a soft bound above the hard one: soft:hard."
    if soft < _LIMITS[name]:
        return f"is too little for a server to boot: {_LIMITS[name]} or more."
    if name == "nofile" and hard > MOST_FILES:
        return f"is more than Linux allows: {MOST_FILES}."
    return ""


def problem_of_sysctl(key: str) -> str:
    """Return what is wrong with a key `linux.sysctl.NAME`; or nothing."""
    name = key.removeprefix(SYSCTL).replace("/", ".")
    if name.startswith(_OWN_SYSCTL) and not name.endswith("."):
        return ""
    return (
        "is a setting of the whole lab host, not of a container: those begin with "
        f"{', '.join(_OWN_SYSCTL)}."
    )
