"""The values that LXD accepts for the settings that labs use; pure.

The table follows LXD's own documentation (instance options, 5.0). Grappe passes on an unlisted key
with one of LXD's prefixes as it is.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping

from providers.lxd import kernel, raw_lxc

# LXD's units: of 1000 and of 1024.
UNITS = {
    "": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
# LXD uses signed 64-bit integers.
MOST = 2**63 - 1
# With less, no systemd boots: LXD accepts it, and the kernel kills the server while it starts.
LEAST_MEMORY = 16 * 2**20
_SIZE = re.compile(r"(\d+)([A-Za-z]*)")
# The ids that a system uses, `nobody` among them.
LEAST_IDS = 65536
# Sizes as people write them: 2G, 300 Mo, 5gb.
_MEANT = re.compile(r"(\d+)\s*([KkMmGgTt])\s*(?:o|b|io|ib|oct(?:et)?s?|bytes?)?", re.IGNORECASE)
_BOOLEANS = {"true", "false", "1", "0", "yes", "no", "on", "off"}
# The prefixes of LXD's instance options.
PREFIXES = ("boot.", "cloud-init.", "environment.", "linux.", "migration.", "nvidia.", "raw.",
            "security.", "snapshots.", "user.")  # fmt: skip

Judge = Callable[[str], str]


def size(text: str) -> int | None:
    """Return the bytes of a size in LXD's notation; None for any other text."""
    match = _SIZE.fullmatch(text)
    if not match or match.group(2) not in UNITS:
        return None
    return int(match.group(1)) * UNITS[match.group(2)]


def problem_of_size(text: str) -> str:
    """Return what is wrong with a size, with a suggestion; or nothing."""
    if bytes_ := size(text):
        return "" if bytes_ <= MOST else "is too large."
    meant = _MEANT.fullmatch(text.strip())
    if not meant:
        return "is not a size, such as 512MiB or 5GiB."
    if not int(meant.group(1)):
        return "is not a size above 0. 512MiB, or 5GiB."
    number, unit = meant.group(1), meant.group(2).upper().replace("K", "k")
    binary = unit.upper() + "iB"
    return f'is not a size as LXD writes it: "{number}{binary}", or "{number}{unit}B"?'


def _memory(text: str) -> str:
    if re.fullmatch(r"(100|[1-9]\d?)%", text):
        return ""
    if (problem := problem_of_size(text)) or (size(text) or 0) >= LEAST_MEMORY:
        return problem
    return "is too little for a server to boot. 512MiB, or 1GiB."


def _cpus(text: str) -> str:
    if re.fullmatch(r"[1-9]\d*|\d+(-\d+)?(,\d+(-\d+)?)+|\d+-\d+", text):
        parts = [part.partition("-") for part in text.split(",")]
        pinned = [
            number for first, _dash, last in parts
            for number in range(int(first), min(int(last or first), int(first) + 4096) + 1)
        ]  # fmt: skip
        return "" if len(pinned) == len(set(pinned)) else "names a processor twice."
    return 'is not a number of processors, or which: "2", "0-3", "0,2".'


def _allowance(text: str) -> str:
    if re.fullmatch(r"([1-9]?\d|100)%|\d+ms/\d+ms", text):
        return ""
    return 'is not a share of the processors: "50%", or "25ms/100ms".'


def _boolean(text: str) -> str:
    return "" if text.lower() in _BOOLEANS else "is not true or false."


def _whole(text: str) -> str:
    if not re.fullmatch(r"-?\d+", text):
        return "is not a whole number."
    return "" if abs(int(text)) <= MOST else "is too large."


def _priority(text: str) -> str:
    return "" if re.fullmatch(r"\d|10", text) else "is not a priority. 0 to 10."


def _one_of(*words: str) -> Judge:
    def judge(text: str) -> str:
        return "" if text in words else f"is not one of {', '.join(words)}."

    return judge


_CRON_PART = re.compile(r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?")
# The fields of a schedule of cron's: name, least and most.
_CRON = (
    ("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12),
    ("day of the week", 0, 6),
)  # fmt: skip


def _schedule(text: str) -> str:
    names = "@(?:hourly|daily|midnight|weekly|monthly|annually|yearly|startup|never)"
    wrong = 'is not a schedule: "@daily", or as cron has it, "0 6 * * *".'
    if re.fullmatch(rf"{names}(?:, ?{names})*", text):
        return ""
    fields = text.split(" ")
    if len(fields) != len(_CRON):
        return wrong
    for field, (name, first, last) in zip(fields, _CRON, strict=True):
        if not all(_CRON_PART.fullmatch(part) for part in field.split(",")):
            return wrong
        numbers = [int(number) for number in re.findall(r"\d+", re.sub(r"/\d+", "", field))]
        if not all(first <= number <= last for number in numbers):
            return f"has {field} for the {name}, which goes from {first} to {last}."
    return ""


def _expiry(text: str) -> str:
    known = re.fullmatch(r"\d+[SMHdwmy](?: \d+[SMHdwmy])*", text)
    return "" if known else 'is not a time to live: "2w", or "1d 12H".'


def _idmap(text: str) -> str:
    line = r"(?:both|uid|gid) \d+(?:-\d+)? \d+(?:-\d+)?"
    known = re.fullmatch(rf"{line}(?:\n{line})*\n?", text)
    return "" if known else 'is not a map of ids, a line each: "both 1000 1000".'


def _seccomp(text: str) -> str:
    first = text.split("\n", 1)[0].strip()
    return (
        "" if first in ("1", "2") else "is not a policy of LXC's: its first line is its version, 2."
    )


def _modules(text: str) -> str:
    known = re.fullmatch(r"[\w-]+(?:, ?[\w-]+)*", text)
    return "" if known else 'is not a list of kernel modules: "wireguard,overlay".'


def _identifiers(text: str) -> str:
    if problem := _unsigned(text):
        return problem
    return "" if int(text) >= LEAST_IDS else f"is less than a system's {LEAST_IDS} ids."


def _unsigned(text: str) -> str:
    fits = re.fullmatch(r"\d+", text) and int(text) < 2**32
    return "" if fits else f"is not a whole number from 0 to {2**32 - 1}."


def _dialled(text: str) -> str:
    port = r"\d{1,5}(?:-\d{1,5})?"
    net = rf"(?:tcp|udp):(?:\[[0-9a-fA-F:]*\]|[\w.-]*):{port}(?:,{port})*"
    known = re.fullmatch(rf"{net}|unix:@?/?\S+", text)
    return "" if known else 'is not the address of a proxy: "tcp:127.0.0.1:80", "unix:/run/x".'


def _path(text: str) -> str:
    return "" if text.startswith("/") else "is not an absolute path, which begins with /."


def _search_path(text: str) -> str:
    absolute = all(part.startswith("/") for part in text.split(":"))
    return "" if absolute else 'is not a list of absolute folders: "/usr/bin:/bin".'


def _environment(text: str) -> str:
    return "has a line break, which LXD cannot pass on." if "\n" in text else ""


def _mode(text: str) -> str:
    return "" if re.fullmatch(r"0?[0-7]{3}", text) else 'is not a mode in octal: "0660".'


def _hexadecimal(text: str) -> str:
    known = re.fullmatch(r"[0-9a-fA-F]{4}", text)
    return "" if known else 'is not an id of four hexadecimal digits, as lsusb has it: "1d6b".'


def ports(text: str) -> list[range]:
    """Return the ports in an address of a proxy; none for a socket's path, or any other text."""
    kind, _colon, rest = text.partition(":")
    listed = rest.rpartition(":")[2]
    if kind not in ("tcp", "udp") or not re.fullmatch(r"[\d,-]+", listed):
        return []
    parts = [part.partition("-") for part in listed.split(",")]
    return [range(int(first), int(last or first) + 1) for first, _dash, last in parts if first]


def listen_address(text: str) -> str:
    """Return the IP address in an address of a proxy; empty for a name, or a socket's path."""
    kind, _colon, rest = text.partition(":")
    host = rest.rpartition(":")[0].strip("[]")
    if kind not in ("tcp", "udp"):
        return ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


LIMITS: Mapping[str, Judge] = {
    "memory": _memory, "memory.enforce": _one_of("hard", "soft"), "memory.swap.priority": _priority,
    "memory.swap": _boolean,
    "cpu": _cpus, "cpu.allowance": _allowance, "cpu.priority": _priority,
    "processes": _whole, "disk.priority": _priority, "network.priority": _priority,
}  # fmt: skip
# Grappe passes these on: the kernel's own bounds, and options of later versions.
OTHER_LIMITS = ("kernel.", "hugepages.", "cpu.", "disk.", "network.")
CONFIG: Mapping[str, Judge] = {
    "boot.autostart": _boolean, "boot.autostart.delay": _whole, "boot.autostart.priority": _whole,
    "boot.stop.priority": _whole, "boot.host_shutdown_timeout": _whole,
    "security.nesting": _boolean, "security.privileged": _boolean,
    "security.protection.shift": _boolean, "security.idmap.isolated": _boolean,
    "security.syscalls.intercept.mknod": _boolean, "security.syscalls.intercept.setxattr": _boolean,
    "security.devlxd": _boolean, "nvidia.runtime": _boolean,
    **dict.fromkeys((
        "security.devlxd.images", "security.protection.delete", "security.protection.start",
        "security.syscalls.deny_default", "security.syscalls.deny_compat",
        "security.syscalls.intercept.bpf", "security.syscalls.intercept.bpf.devices",
        "security.syscalls.intercept.mount", "security.syscalls.intercept.mount.shift",
        "security.syscalls.intercept.sched_setscheduler", "security.syscalls.intercept.sysinfo",
        "snapshots.schedule.stopped", "migration.incremental.memory",
    ), _boolean),
    "security.idmap.base": _identifiers, "security.idmap.size": _identifiers,
    "raw.lxc": raw_lxc.problem, "raw.seccomp": _seccomp, "linux.kernel_modules": _modules,
    "environment.PATH": _search_path,
    "snapshots.schedule": _schedule, "snapshots.expiry": _expiry, "raw.idmap": _idmap,
}  # fmt: skip
# Known options that accept any text.
_TEXTS = (
    "cloud-init.network-config", "cloud-init.user-data", "cloud-init.vendor-data",
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
# Options of devices with restricted values.
DEVICE: Mapping[tuple[str, str], Judge] = {
    ("proxy", "listen"): _dialled, ("proxy", "connect"): _dialled, ("proxy", "nat"): _boolean,
    ("proxy", "bind"): _one_of("host", "guest", "instance", "container"),
    ("disk", "path"): _path, ("disk", "readonly"): _boolean, ("disk", "required"): _boolean,
    ("disk", "recursive"): _boolean, ("disk", "shift"): _boolean, ("disk", "size"): problem_of_size,
    ("disk", "propagation"): _one_of(
        "private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable"),
    ("unix-char", "path"): _path, ("unix-block", "path"): _path,
    **{(kind, key): judge for kind in ("unix-char", "usb", "gpu", "proxy") for key, judge in (
        ("mode", _mode), ("uid", _whole), ("gid", _whole))},
    **{(kind, key): _hexadecimal for kind in ("usb", "gpu") for key in ("vendorid", "productid")},
    ("unix-char", "required"): _boolean, ("unix-block", "required"): _boolean,
}  # fmt: skip


def problem_of_limit(key: str, value: str) -> str:
    """Return what is wrong with a limit, or nothing; `key` lacks the `limits.`."""
    if judge := LIMITS.get(key):
        return judge(value)
    if key.startswith("kernel."):
        return kernel.problem_of_limit(key.removeprefix("kernel."), value)
    if key.startswith("hugepages."):
        return problem_of_size(value)
    if key.startswith(OTHER_LIMITS):
        return ""
    meant = difflib.get_close_matches(key.removeprefix("limits."), list(LIMITS), n=1)
    hint = f" Did you mean {meant[0]}?" if meant else ""
    return f"is not one of LXD's limits: {', '.join(LIMITS)}.{hint}"


def problem_of_config(key: str, value: str) -> str:
    """Return what is wrong with a setting of an instance; or nothing."""
    if key == "security.protection.delete" and value.lower() in {"true", "1", "yes", "on"}:
        return "keeps Grappe from removing the server: remove it."
    if key.startswith(_MACHINES):
        return "is a setting of virtual machines; a lab's servers are containers. Remove it."
    if key.startswith(kernel.SYSCTL):
        return kernel.problem_of_sysctl(key)
    if judge := CONFIG.get(key, _environment if key.startswith("environment.") else None):
        return judge(value)
    if key.startswith(_OPEN) or key in _TEXTS:
        return ""
    return _unknown(key)


def _unknown(key: str) -> str:
    """Judge a key that the table lacks; later versions of LXD have more."""
    if not key.startswith(PREFIXES):
        return f"is not a setting of LXD's: they begin with {', '.join(PREFIXES)}"
    meant = difflib.get_close_matches(key, [*CONFIG, *_TEXTS], n=1, cutoff=0.85)
    return f"is not a setting of LXD's. Did you mean {meant[0]}?" if meant else ""


def problem_of_device(kind: str, key: str, value: str) -> str:
    """Return what is wrong with an option of a device of a kind; or nothing."""
    judge = DEVICE.get((kind, key))
    return judge(value) if judge else ""
