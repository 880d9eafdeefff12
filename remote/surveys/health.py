"""Survey a lab host for doctor. Runs on the host, read only.

Standard library alone. A part that fails becomes a text or nothing; the others go on.
"""

from __future__ import annotations

import calendar
import concurrent.futures
import errno
import glob
import os
import re
import socket
import ssl
import time
from typing import Any, Dict, Iterator, List, Optional

from remote import bridge, haproxy_unit, identity, iptables, ipv6, rootfs
from remote.names import UFW_SCRIPTS
from remote.surveys import facts, fragments, lab, lxd, programs
from remote.system import System, meminfo, read_text

Json = Dict[str, Any]
SECONDS = 5
# Servers that are asked at the same time.
AT_ONCE = 32
# Where netfilter-persistent, nftables.service and guides save the loaded rules, for the next boot.
SAVED = (
    "/etc/iptables/rules.v4", "/etc/nftables.conf", "/etc/iptables.rules",
    "/etc/iptables.up.rules", "/etc/sysconfig/iptables",
)  # fmt: skip


def main(request: Json) -> facts.HealthFacts:
    """Survey the host.

    Args:
        request: As for `remote.surveys.lab`.
    """
    instances = _instances(request["sockets"])
    domains = _domains(request["store"])
    running = [item for item in instances if item["address"]]
    saved = iptables.listing(lambda argv: programs.run(argv)[1])
    whole = lab.main(request)
    found: facts.HealthFacts = {
        **whole,
        "links": {
            item["name"]: bridge.link(
                item["name"], item["config"].get("ipv4.address", ""), tuple(request["sockets"])
            )
            for item in whole["lxd"].get("networks", ())
        },
        "firewall": _firewall(request["sockets"]),
        "instances": instances,
        "ufw": _ufw(),
        "ipv6": ipv6.is_open(System()),
        "switched_off": _switched_off(),
        "masquerades": _masquerades(saved),
        "forwarding": read_text("/proc/sys/net/ipv4/ip_forward").strip(),
        "unforwarded": _unforwarded(),
        "chains": saved,
        "copies": [path for path in SAVED if iptables.OURS in read_text(path)],
        "loaded": _whole_haproxy(),
        "units": {unit: _unit(unit) for unit in ("haproxy", "ufw", "grappe-nat", *_tunnels())},
        "disk": _disk("/"),
        "inotify": {
            "limit": int(read_text("/proc/sys/fs/inotify/max_user_instances") or 0),
            "used": _inotify(),
        },
        "conntrack": {"limit": _number("nf_conntrack_max"), "used": _number("nf_conntrack_count")},
        "unreadable": sorted(_unreadable()),
        "memory": meminfo(),
        "targets": _targets(request["store"]),
        **_presented(running, domains),
    }
    return found


def _instances(sockets: List[str]) -> List[facts.Container]:
    """Return every container: name, project, status, owner and static address."""
    found = lxd.try_query(sockets, "instances?recursion=1&all-projects=true") or []
    return [
        {
            "name": item["name"],
            "project": item["project"],
            "owner": item["config"].get(identity.OWNER, ""),
            "address": item["devices"].get("eth0", {}).get("ipv4.address", "")
            if item["status"] == "Running"
            else "",
            "own_address": item["devices"].get("eth0", {}).get("ipv4.address", ""),
            "profiles": item["profiles"],
        }
        for item in found
    ]


def _firewall(sockets: List[str]) -> str:
    """Return the daemon's firewall driver."""
    found = lxd.try_query(sockets, "") or {}
    return str(found.get("environment", {}).get("firewall", ""))


def _ufw() -> facts.Ufw:
    """Return whether UFW's file enables it, and whether its rules are loaded."""
    match = re.search(r"^ENABLED=[\"']?(\w+)", read_text("/etc/ufw/ufw.conf"), re.MULTILINE)
    active = any("active" in line.split() for line in _lines(["ufw", "status"])[:1])
    return {"enabled": bool(match and match.group(1).lower() == "yes"), "active": active}


def _switched_off() -> List[str]:
    """Return UFW's scripts with our part that UFW would not run."""
    return [path for path in UFW_SCRIPTS if not os.access(path, os.X_OK)]


def _unforwarded() -> List[str]:
    """Return the interfaces of people and of labs whose packets the kernel does not forward.

    People come in by the interface of the default route, or by any if there is none.
    """
    default = _lines(["ip", "-4", "route", "show", "default"])
    names = [words[words.index("dev") + 1] for words in map(str.split, default) if "dev" in words]
    names = names or [line.split()[1] for line in _lines(["ip", "-4", "-o", "address", "show"])]
    bridges = [name for name in os.listdir("/sys/class/net") if name.startswith("gr-")]
    path = "/proc/sys/net/ipv4/conf/%s/forwarding"
    asked = dict.fromkeys([*(name for name in names if name != "lo"), *bridges])
    return [name for name in asked if read_text(path % name).strip() == "0"]


def _masquerades(saved: str) -> List[str]:
    """Return the loaded masquerade rules of the servers, among them those of `iptables-save`."""
    lines = _lines(["nft", "list", "ruleset"]) + saved.splitlines()
    return [line for line in lines if "masquerade" in line.lower()]


def _whole_haproxy() -> str:
    """Return HAProxy's errors about its whole configuration; nothing when it is valid."""
    unit = haproxy_unit.parse(programs.run(haproxy_unit.SHOW)[1], read_text)
    status, _out, err = programs.run(unit.check(haproxy_unit.CONFIG), unit.environment)
    return "" if status in (0, 2) else str(err).strip()


def _tunnels() -> List[str]:
    folder = "/etc/systemd/system"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name[:-8] for name in names if re.match(r"grappe-tunnel-.*\.service$", name))


def _unit(name: str) -> Dict[str, str]:
    words = ["ActiveState", "UnitFileState"]
    lines = _lines(["systemctl", "show", name, "--property", ",".join(words)])
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _disk(path: str) -> facts.Space:
    found = os.statvfs(path)
    size = found.f_blocks * found.f_frsize
    return {"size": size, "free": found.f_bavail * found.f_frsize}


def _inotify() -> int:
    """Return the number of inotify instances in use on this host and in its containers."""
    found = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            folder = f"/proc/{process}/fd"
            links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        except OSError:
            # The process has ended meanwhile.
            continue
        found += links.count("anon_inode:inotify")
    return found


def _number(setting: str) -> int:
    """Return a setting of netfilter's; 0 where the kernel has none."""
    return int(read_text(f"/proc/sys/net/netfilter/{setting}") or 0)


def _unreadable() -> Iterator[str]:
    """Yield the instances, `PROJECT_NAME`, whose lxcfs has died: they keep its dead mounts."""
    for path in glob.glob(rootfs.FIRST % "*"):
        for pid in read_text(path).split()[:1]:
            try:
                # Only `lstat`, never `open`: the file belongs to the student.
                os.lstat(f"/proc/{pid}/root/proc/meminfo")
            except OSError as error:
                if error.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
                    yield path.partition("lxc.payload.")[2].partition("/")[0]


def _targets(store: str) -> List[facts.Target]:
    """Return each fragment's target: its id, owner, address, and the port that leads there."""
    return [
        {
            "id": fragment["id"],
            "owner": fragment["owner"],
            "address": spec.get("target_address") or spec.get("address") or "",
            "port": spec.get("port", 0),
            "there": spec.get("target_port", 0),
        }
        for fragment in fragments.main(store)
        for spec in [fragment["spec"]]
    ]


def _domains(store: str) -> Dict[str, str]:
    """Return the domain routed to each address."""
    specs = [fragment.get("spec", {}) for fragment in fragments.main(store)]
    return {spec["address"]: spec["domains"][0] for spec in specs if spec.get("domains")}


def _presented(running: List[facts.Container], domains: Dict[str, str]) -> facts.Presented:
    """Return servers' certificates and host keys, many asked at once: a silent one takes long."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        certificates = pool.map(
            lambda item: _certificate(item["address"], domains.get(item["address"])), running
        )
        keys = pool.map(lambda item: _host_key(item["address"]), running)
    return {
        "certificates": [
            {"server": item["name"], "project": item["project"], "left": left}
            for item, left in zip(running, certificates) if left is not None
        ],
        "host_keys": [
            {"server": item["name"], "project": item["project"], "key": key}
            for item, key in zip(running, keys) if key
        ],
    }  # fmt: skip


def _certificate(address: str, domain: Optional[str]) -> Any:
    """Return the remaining seconds of the certificate that visitors see; None without one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection((address, 443), timeout=SECONDS)
        with context.wrap_socket(plain, server_hostname=domain) as connection:
            der = connection.getpeercert(binary_form=True) or b""
    except OSError:
        return None
    argv = ["openssl", "x509", "-inform", "DER", "-noout", "-enddate", "-dateopt", "iso_8601"]
    told = programs.run(argv, stdin=der)[1]
    match = re.search(r"notAfter=(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)Z", told)
    if not match:
        return None
    return calendar.timegm((*(int(part) for part in match.groups()), 0, 0, 0)) - time.time()


def _host_key(address: str) -> str:
    """Return a server's host key, read over the network."""
    lines = _lines(["ssh-keyscan", "-T", "3", "-t", "ed25519", address])
    return " ".join(lines[0].split()[1:3]) if lines else ""


def _lines(argv: List[str]) -> List[str]:
    _status, out, _err = programs.run(argv)
    return [line for line in str(out).splitlines() if line.strip() and not line.startswith("#")]
