"""The config keys and limits of a container that a stack file may set; pure.

The table follows LXD's own documentation (instance options, 5.0). Grappe passes on an unlisted key
with one of LXD's prefixes as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from core import problems
from providers.lxd.options import cron, kernel, raw_lxc
from providers.lxd.options.values import (
    TRUE,
    Judge,
    boolean,
    matching,
    one_of,
    problem_of_size,
    size,
    whole,
)

# With less, no systemd boots: LXD accepts it, and the kernel kills the server while it starts.
LEAST_MEMORY = 16 * 2**20
# With fewer, no system boots that answers to anybody.
LEAST_PROCESSES = 10
# The ids that a system uses, `nobody` among them.
LEAST_IDS = 65536
# The prefixes of LXD's instance options.
PREFIXES = ("boot.", "cloud-init.", "cluster.", "environment.", "linux.", "migration.", "nvidia.",
            "raw.", "security.", "snapshots.", "user.")  # fmt: skip


def _memory(text: str) -> str:
    if re.fullmatch(r"(100|[1-9][0-9]?)%", text):
        return ""
    if (problem := problem_of_size(text)) or (size(text) or 0) >= LEAST_MEMORY:
        return problem
    return "is too little for a server to boot. 512MiB, or 1GiB."


def _cpus(text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]*|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)+|[0-9]+-[0-9]+", text):
        parts = [part.partition("-") for part in text.split(",")]
        if any(int(last or first) < int(first) for first, _dash, last in parts):
            return "has processors from the higher to the lower."
        pinned = [
            number for first, _dash, last in parts
            for number in range(int(first), min(int(last or first), int(first) + 4096) + 1)
        ]  # fmt: skip
        return "" if len(pinned) == len(set(pinned)) else "names a processor twice."
    return 'is not a number of processors, or which: "2", "0-3", "0,2".'


_allowance = matching(
    r"([1-9]?[0-9]|100)%|[0-9]+ms/[0-9]+ms",
    'is not a share of the processors: "50%", or "25ms/100ms".',
)
_priority = matching(r"[0-9]|10", "is not a priority. 0 to 10.")
_modules = matching(
    r"[A-Za-z0-9_-]+(?:, ?[A-Za-z0-9_-]+)*",
    'is not a list of kernel modules: "wireguard,overlay".',
)
_environment = matching(r"[^\n]*", "has a line break, which LXD cannot pass on.")


def _processes(text: str) -> str:
    if (problem := whole(text)) or int(text) >= LEAST_PROCESSES:
        return problem
    return f"is too little for a server to boot. From {LEAST_PROCESSES} on; YunoHost has some 45."


def _expiry(text: str) -> str:
    units = re.findall(r"([SMHdwmy])", text)
    known = re.fullmatch(r"[0-9]{1,9}[SMHdwmy](?: [0-9]{1,9}[SMHdwmy])*", text)
    single = len(units) == len(set(units))
    return "" if known and single else 'is not a time to live: "2w", or "1d 12H".'


_IDS = r"([0-9]+)(?:-([0-9]+))?"
_MAP = re.compile(rf"(both|uid|gid) {_IDS} {_IDS}")


def mapped(text: str) -> Iterator[tuple[str, range]]:
    """Yield the host's ids in a map of ids: `uid` or `gid`, and which."""
    for match in filter(None, map(_MAP.fullmatch, text.split("\n"))):
        first, last = int(match.group(2)), int(match.group(3) or match.group(2))
        for kind in ("uid", "gid") if match.group(1) == "both" else (match.group(1),):
            if last >= first:
                yield kind, range(first, last + 1)


def _idmap(text: str) -> str:
    for line in text.rstrip("\n").split("\n"):
        match = _MAP.fullmatch(line)
        if not match:
            return 'is not a map of ids, a line each: "both 1000 1000".'
        _kind, first, last, inside, end = match.groups()
        if int(last or first) < int(first):
            return f"has {line}, whose ids go from the higher to the lower."
        if int(last or first) - int(first) != int(end or inside) - int(inside):
            return f"has {line}, which maps as many ids on fewer, or on more."
    return ""


def _yaml(text: str) -> str:
    """Judge a text that LXD parses as YAML."""
    import yaml  # noqa: PLC0415 - few servers have one

    try:
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        return f"is no YAML: {' '.join(str(error).split())}."
    return "" if isinstance(loaded, dict | None) else "has no settings, as `key: value` in a line."


def _user_data(text: str) -> str:
    """Judge cloud-init's data: LXD parses what begins as a cloud-config."""
    return _yaml(text) if text.startswith("#cloud-config") else ""


def _seccomp(text: str) -> str:
    first = text.split("\n", 1)[0].strip()
    return (
        "" if first in ("1", "2") else "is not a policy of LXC's: its first line is its version, 2."
    )


def _identifiers(text: str) -> str:
    if problem := _unsigned(text):
        return problem
    return "" if int(text) >= LEAST_IDS else f"is less than a system's {LEAST_IDS} ids."


def _unsigned(text: str) -> str:
    fits = re.fullmatch(r"[0-9]+", text) and int(text) < 2**32
    return "" if fits else f"is not a whole number from 0 to {2**32 - 1}."


def _search_path(text: str) -> str:
    absolute = all(part.startswith("/") for part in text.split(":"))
    return "" if absolute else 'is not a list of absolute folders: "/usr/bin:/bin".'


LIMITS: Mapping[str, Judge] = {
    "memory": _memory, "memory.enforce": one_of("hard", "soft"), "memory.swap.priority": _priority,
    "memory.swap": boolean,
    "cpu": _cpus, "cpu.allowance": _allowance, "cpu.priority": _priority,
    "processes": _processes, "disk.priority": _priority, "network.priority": _priority,
}  # fmt: skip
# Grappe passes these on: options of later versions.
OTHER_LIMITS = ("cpu.nodes", "cpu.pin_strategy", "memory.hotplug", "memory.oom_priority")
HUGE_PAGES = ("64KB", "1MB", "2MB", "1GB")
CONFIG: Mapping[str, Judge] = {
    "boot.autostart": boolean, "boot.autostart.delay": whole, "boot.autostart.priority": whole,
    "boot.stop.priority": whole, "boot.host_shutdown_timeout": whole,
    "security.nesting": boolean, "security.privileged": boolean,
    "security.protection.shift": boolean, "security.idmap.isolated": boolean,
    "security.syscalls.intercept.mknod": boolean, "security.syscalls.intercept.setxattr": boolean,
    "security.devlxd": boolean, "nvidia.runtime": boolean,
    **dict.fromkeys((
        "security.devlxd.images", "security.protection.delete", "security.protection.start",
        "security.syscalls.deny_default", "security.syscalls.deny_compat",
        "security.syscalls.intercept.bpf", "security.syscalls.intercept.bpf.devices",
        "security.syscalls.intercept.mount", "security.syscalls.intercept.mount.shift",
        "security.syscalls.intercept.sched_setscheduler", "security.syscalls.intercept.sysinfo",
        "snapshots.schedule.stopped", "migration.incremental.memory",
    ), boolean),
    "cluster.evacuate": one_of(
        "auto", "live-migrate", "migrate", "stop", "stateful-stop", "force-stop"
    ),
    "security.idmap.base": _identifiers, "security.idmap.size": _identifiers,
    "raw.lxc": raw_lxc.problem, "raw.seccomp": _seccomp, "linux.kernel_modules": _modules,
    "environment.PATH": _search_path, "cloud-init.network-config": _yaml,
    "cloud-init.user-data": _user_data, "cloud-init.vendor-data": _user_data,
    "snapshots.schedule": cron.problem, "snapshots.expiry": _expiry, "raw.idmap": _idmap,
}  # fmt: skip
# Known options that accept any text.
_TEXTS = (
    "nvidia.driver.capabilities", "nvidia.require.cuda",
    "nvidia.require.driver", "raw.apparmor", "security.syscalls.allow",
    "security.syscalls.deny", "security.syscalls.intercept.mount.allowed",
    "security.syscalls.intercept.mount.fuse", "snapshots.pattern",
)  # fmt: skip
# LXD refuses these for a container.
_MACHINES = ("agent.", "boot.debug_edk2", "migration.stateful", "raw.qemu",
             "security.csm", "security.guestapi", "security.secureboot",
             "security.sev")  # fmt: skip
# Users choose the names behind these prefixes.
_OPEN = ("environment.", "user.")


def problem_of_limit(key: str, value: str) -> str:
    """Return what is wrong with a limit, or nothing; `key` lacks the `limits.`."""
    if judge := LIMITS.get(key):
        return judge(value)
    if key.startswith("kernel."):
        return kernel.problem_of_limit(key.removeprefix("kernel."), value)
    if key.startswith("hugepages."):
        known = key.removeprefix("hugepages.") in HUGE_PAGES
        return problem_of_size(value) if known else f"is of pages of {', '.join(HUGE_PAGES)}."
    if key in OTHER_LIMITS:
        return ""
    hint = problems.near(key.removeprefix("limits."), LIMITS)
    return f"is not one of LXD's limits: {', '.join(LIMITS)}.{hint}"


def is_limit(key: str) -> bool:
    """Whether LXD has a limit of this name; the key lacks the `limits.`."""
    pages = key.removeprefix("hugepages.") in HUGE_PAGES
    return key in (*LIMITS, *OTHER_LIMITS) or key.startswith("kernel.") or pages


def problem_of_config(key: str, value: str) -> str:
    """Return what is wrong with a setting of an instance; or nothing."""
    if key == "security.protection.delete" and value.lower() in TRUE:
        return "keeps Grappe from removing the server: remove it."
    if key in (*_OPEN, kernel.SYSCTL):
        return "has no name behind its prefix."
    if key.startswith(kernel.SYSCTL):
        return kernel.problem_of_sysctl(key)
    if judge := CONFIG.get(key, _environment if key.startswith("environment.") else None):
        return judge(value)
    if key.startswith(_OPEN) or key in _TEXTS:
        return ""
    return _unknown(key)


def is_known(key: str) -> bool:
    """Whether Grappe knows a setting of an instance; LXD alone judges the others."""
    return key in CONFIG or key in _TEXTS or key.startswith((*_OPEN, kernel.SYSCTL, *_MACHINES))


def _unknown(key: str) -> str:
    """Judge a key that the table lacks; later versions of LXD have more."""
    if key.startswith(_MACHINES):
        return "is a setting of virtual machines; a lab's servers are containers. Remove it."
    if key.startswith("limits."):
        return f"belongs into limits, as {key.removeprefix('limits.')}."
    if not key.startswith(PREFIXES):
        return f"is not a setting of LXD's: they begin with {', '.join(PREFIXES)}"
    meant = difflib.get_close_matches(key, [*CONFIG, *_TEXTS], n=1, cutoff=0.85)
    return f"is not a setting of LXD's. Did you mean {meant[0]}?" if meant else ""
