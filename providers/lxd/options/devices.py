"""The devices of an instance: the options of each type, and the values that LXD accepts; pure.

After LXD's own documentation (devices, 5.0 to 6) and Incus's. LXD refuses any other option; Grappe
passes one on that resembles none of these, for a later version may have it.
"""

from __future__ import annotations

import difflib
import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping

from core.validators import MAX_PORT
from providers.lxd.options import values
from providers.lxd.options.values import Judge

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
# The system's own folders: with a disk over one of them no server boots.
_SYSTEM = ("/proc", "/sys", "/dev", "/run", "/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr",
           "/var")  # fmt: skip
# Sources of disks that are no path of the host's.
_SCHEMES = ("ceph:", "cephfs:", "tmpfs:", "tmpfs-overlay:", "agent:", "cloud-init:")
# The options that only virtual machines have, by type.
_MACHINES = {
    "disk": ("size.state", "io.cache", "io.bus", "io.threads", "boot.priority"),
    "usb": (), "gpu": (), "proxy": (), "none": (), "unix-char": (), "unix-block": (), "tpm": (),
}  # fmt: skip
_FILES = ("source", "path", "major", "minor", "required", "uid", "gid", "mode")
# The options of each type of device, beside `type`.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "disk": (
        "source", "path", "pool", "size", "readonly", "required", "recursive", "shift",
        "propagation", "raw.mount.options", "limits.read", "limits.write", "limits.max",
        "ceph.user_name", "ceph.cluster_name", "initial.uid", "initial.gid", "initial.mode",
        "source.snapshot", "source.type",
    ),
    "proxy": (
        "listen", "connect", "bind", "nat", "proxy_protocol", "uid", "gid", "mode",
        "security.uid", "security.gid",
    ),
    "unix-char": (*_FILES, "ownership.inherit"), "unix-block": (*_FILES, "ownership.inherit"),
    "unix-hotplug": (
        "vendorid", "productid", "required", "uid", "gid", "mode", "subsystem",
        "ownership.inherit", "pci",
    ),
    "usb": (
        "vendorid", "productid", "required", "uid", "gid", "mode", "busnum", "devnum", "serial",
        "attached",
    ),
    "gpu": (
        "gputype", "vendorid", "productid", "id", "pci", "uid", "gid", "mode", "mdev", "mig.ci",
        "mig.gi", "mig.uuid",
    ),
    "infiniband": ("nictype", "parent", "name", "mtu", "hwaddr"),
    "tpm": ("path", "pathrm"),
    "none": (),
}  # fmt: skip


def _proxy_address(text: str) -> str:
    """Judge the address of a proxy: a socket, or an IP address and its ports."""
    if re.fullmatch(r"unix:@?/?\S+", text):
        return ""
    match = re.fullmatch(r"(?:tcp|udp):(?:\[([0-9a-fA-F:]+)\]|([\w.-]+)):([0-9,-]+)", text)
    if not match:
        return 'is not the address of a proxy: "tcp:127.0.0.1:80", "unix:/run/x".'
    host = match.group(1) or match.group(2)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f'has the name {host}; a proxy takes an IP address: "tcp:127.0.0.1:80".'
    for part in match.group(3).split(","):
        first, _dash, last = part.partition("-")
        if not re.fullmatch(r"[0-9]{1,5}(?:-[0-9]{1,5})?", part) or int(first) > int(last or first):
            return f"has {part or 'nothing'} for ports: 80, or 8080-8090."
        if not 1 <= int(first) <= int(last or first) <= MAX_PORT:
            return f"has {part}: ports go from 1 to {MAX_PORT}."
    return ""


def _path(text: str) -> str:
    return "" if text.startswith("/") else "is not an absolute path, which begins with /."


def _mount(text: str) -> str:
    """Judge the mount point of a disk in a server."""
    if problem := _path(text):
        return problem
    path = "/" + posixpath.normpath(text).lstrip("/")
    if path == "/":
        return "is the server's own disk. Its size: disk."
    return f"is the system's own {path}: no server boots under it." if path in _SYSTEM else ""


_mode = values.matching(r"0?[0-7]{3}", 'is not a mode in octal: "0660".')
_hexadecimal = values.matching(
    r"[0-9a-f]{4}", 'is not an id of four small hexadecimal digits, as lsusb has it: "1d6b".'
)
_pci = values.matching(
    r"(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]",
    'is not an address as lspci has it: "0000:01:00.0".',
)


def _rate(text: str) -> str:
    """Judge a limit of a disk: bytes a second, or operations."""
    if re.fullmatch(r"[1-9][0-9]*iops", text):
        return ""
    return "" if not values.problem_of_size(text) else 'is not a rate: "10MiB", or "100iops".'


_OWNERS: Mapping[str, Judge] = {"mode": _mode, "uid": values.whole, "gid": values.whole}
# Options with restricted values.
_JUDGES: Mapping[str, Mapping[str, Judge]] = {
    "disk": {
        "path": _mount, "readonly": values.boolean, "required": values.boolean,
        "recursive": values.boolean, "shift": values.boolean, "size": values.problem_of_size,
        "limits.read": _rate, "limits.write": _rate, "limits.max": _rate,
        "initial.uid": values.whole, "initial.gid": values.whole, "initial.mode": _mode,
        "propagation": values.one_of(
            "private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave",
            "runbindable",
        ),
    },
    "proxy": {
        "listen": _proxy_address, "connect": _proxy_address, "nat": values.boolean,
        "proxy_protocol": values.boolean, "security.uid": values.whole,
        "security.gid": values.whole, **_OWNERS,
        "bind": values.one_of("host", "guest", "instance", "container"),
    },
    **{kind: {
        "path": _path, "required": values.boolean, "major": values.whole, "minor": values.whole,
        **_OWNERS,
    } for kind in ("unix-char", "unix-block")},
    **{kind: {
        "vendorid": _hexadecimal, "productid": _hexadecimal, "required": values.boolean, **_OWNERS,
    } for kind in ("usb", "unix-hotplug", "gpu")},
    "tpm": {"path": _path, "pathrm": _path},
}  # fmt: skip
_GPU: Mapping[str, Judge] = {
    "gputype": values.one_of("physical", "mdev", "mig", "sriov"), "pci": _pci,
}  # fmt: skip


def problem_of_name(name: str) -> str:
    """Return what is wrong with a device's name; or nothing."""
    known = _NAME.fullmatch(name)
    return "" if known else "is not a device's name: 1 to 63 letters, digits, dots, dashes."


def problem_of_option(kind: str, key: str, value: str) -> str:
    """Return what is wrong with an option of a device of a kind; or nothing."""
    known = OPTIONS.get(kind, ())
    if key not in known and key != "type" and kind in OPTIONS:
        if key in _MACHINES.get(kind, ()):
            return "is for virtual machines; a lab's servers are containers. Remove it."
        meant = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        return f"is not an option of a {kind}. Did you mean {meant[0]}?" if meant else ""
    judge = {**_JUDGES.get(kind, {}), **(_GPU if kind == "gpu" else {})}.get(key)
    return judge(value) if judge else ""


def is_known(kind: str, key: str) -> bool:
    """Whether Grappe knows an option of a device."""
    return key == "type" or key in OPTIONS.get(kind, (key,))


def contradictions(kind: str, device: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    """Yield options of a device that LXD refuses beside its others: key, value, problem."""
    source = device.get("source", "")
    if kind == "disk":
        yield from _disk_contradictions(device, source)
    if kind in ("unix-char", "unix-block") and not (source or device.get("path")):
        yield ".source", "", "is missing: the device of the host, as /dev/ttyS0."
    if kind in ("unix-char", "unix-block") and source and not source.startswith("/dev/"):
        yield ".source", source, "is no device of the host: it is below /dev."
    if kind == "unix-hotplug" and not {"vendorid", "productid", "subsystem"} & device.keys():
        yield ".vendorid", "", "is missing, or a productid: as lsusb has them."
    if kind == "gpu" and {"pci", "id"} <= device.keys():
        yield ".id", device["id"], "is another way to say pci. One."
    if kind == "tpm" and not device.get("pathrm"):
        yield ".pathrm", "", "is missing: its second path, as /dev/tpmrm0."
    if kind == "proxy":
        yield from _proxy_contradictions(device)


def _disk_contradictions(
    device: Mapping[str, str], source: str
) -> Iterator[tuple[str, object, str]]:
    if "size" in device:
        yield ".size", device["size"], "belongs to a server's own disk alone; a volume has a size."
    if device.get("pool") and source.startswith("/"):
        yield ".pool", device["pool"], "is of a volume, and source is a path of the host. One."
    elif source.startswith(("agent:", "cloud-init:")):
        yield ".source", source, "is for virtual machines; a lab's servers are containers."
    elif source and not device.get("pool") and not source.startswith(("/", *_SCHEMES)):
        yield ".source", source, "is not an absolute path of the host; a volume has a pool too."
    if device.get("pool") and "shift" in device:
        yield ".shift", device["shift"], "is for folders of the host; a volume needs none."
    if all(device.get(key, "").lower() in values.TRUE for key in ("readonly", "recursive")):
        yield ".recursive", device["recursive"], "is refused with readonly. One of the two."


def _proxy_contradictions(device: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    listen, connect = device.get("listen", ""), device.get("connect", "")
    if any(_proxy_address(text) for text in (listen, connect) if text):
        # Each is a mistake of its own.
        return
    here, there = (sum(map(len, ports(text))) for text in (listen, connect))
    kinds = {text.partition(":")[0] for text in (listen, connect)}
    if here and there not in (0, 1, here):
        yield ".connect", connect, f"has {there} ports, and listen has {here}. As many, or one."
    if "udp" in kinds and kinds != {"udp"}:
        yield ".connect", connect, f"is not of the protocol of listen, {listen.partition(':')[0]}."
    if device.get("nat", "").lower() in values.TRUE:
        address = listen_address(listen)
        if "unix" in kinds or not address or ipaddress.ip_address(address).is_unspecified:
            yield ".nat", device["nat"], "needs one IP address of the host in listen."
        if device.get("bind", "host") != "host":
            yield ".bind", device["bind"], "is refused with nat, which listens at the host."
        if device.get("proxy_protocol", "").lower() in values.TRUE:
            yield (
                ".proxy_protocol",
                device["proxy_protocol"],
                "is refused with nat. One of the two.",
            )
    if not listen.startswith("unix:"):
        for key in sorted({"mode", "uid", "gid"} & device.keys()):
            yield f".{key}", device[key], "belongs to a proxy that listens at a unix socket."


def ports(text: str) -> list[range]:
    """Return the ports in an address of a proxy; none for a socket's path, or any other text."""
    kind, _colon, rest = text.partition(":")
    listed = rest.rpartition(":")[2]
    if kind not in ("tcp", "udp") or not re.fullmatch(r"[0-9,-]+", listed):
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
