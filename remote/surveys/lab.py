"""What a lab host has and who holds what on it. Runs on the host, read only.

Standard library alone. Every part of the survey fails by itself, into a text.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
from typing import Any, Callable, Dict, List

from remote import managed_block, plain_http

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
LXD_SECONDS = 10
REACH_SECONDS = 5
FILES = (
    "/etc/ufw/before.rules",
    "/etc/ufw/before.init",
    "/etc/ufw/after.init",
    "/etc/haproxy/haproxy.cfg",
)
UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
PROGRAMS = ("iptables", "iptables-restore", "ufw", "haproxy", "systemctl", "ss")

Json = Dict[str, Any]


def main(request: Json) -> Json:
    """Look at the host.

    Args:
        request: `sockets`, where LXD may be; `store`, Grappe's folder; `urls`, what the
            host is to reach; `projects`, whose instances are looked at.

    """
    parts: Dict[str, Callable[[], Any]] = {
        "lxd": lambda: _lxd(request["sockets"]),
        "instances": lambda: _instances(request["sockets"], request.get("projects", [])),
        "haproxy": lambda: _haproxy(request["store"]),
        "listening": _listening,
        "subnets": _subnets,
        "routes": _routes,
        "nat": _nat,
        "configs": _configs,
        "ufw_rules": _ufw_rules,
        "ufw_output": _ufw_output,
        "fragments": lambda: fragments_of(request["store"]),
        "reached": lambda: {url: _unreached(url) for url in request["urls"]},
        "missing": lambda: [name for name in PROGRAMS if not shutil.which(name, path=PATH)],
        "files": lambda: {path: _text(path) for path in FILES},
        "unprivileged": lambda: int(_text(UNPRIVILEGED) or 1024),
    }
    # Most of them wait for somebody else.
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        asked = {name: pool.submit(part) for name, part in parts.items()}
        return {name: future.result() for name, future in asked.items()}


def _lxd(sockets: List[str]) -> Json:
    place = next((path for path in sockets if os.path.exists(path)), None)
    if place is None:
        return {"error": "there is no LXD"}
    try:
        profiles = ask(place, "profiles?recursion=1")
        return {
            "projects": [
                {"name": item["name"], "config": item["config"]}
                for item in ask(place, "projects?recursion=1")
            ],
            "networks": [
                {"name": item["name"], "managed": item["managed"], "config": item["config"]}
                for item in ask(place, "networks?recursion=1")
            ],
            "aliases": {
                item["name"]: item["target"] for item in ask(place, "images/aliases?recursion=1")
            },
            "images": {
                item["fingerprint"]: item["properties"] or {}
                for item in ask(place, "images?recursion=1")
            },
            "profiles": [item["name"] for item in profiles],
            "brings": {item["name"]: item["devices"] for item in profiles},
        }
    except (OSError, ValueError, KeyError) as error:
        return {"error": f"LXD does not answer: {type(error).__name__} {error}"}


def _instances(sockets: List[str], projects: List[str]) -> List[Json]:
    """Return the instances of projects with their marks; the rest of their config is theirs."""
    place = next((path for path in sockets if os.path.exists(path)), None)
    found: List[Json] = []
    for project in projects if place else []:
        query = urllib.parse.urlencode({"project": project, "recursion": "1"})
        try:
            items = ask(str(place), "instances?" + query)
        except (OSError, ValueError, KeyError, TypeError):
            # There is no such project yet; or LXD does not answer, which the others say.
            continue
        for item in items:
            marks = {k: v for k, v in item["config"].items() if k.startswith("user.grappe.")}
            found.append(
                {
                    "name": item["name"],
                    "project": project,
                    "ephemeral": item["ephemeral"],
                    "location": item.get("location", ""),
                    "config": marks,
                }
            )
    return found


def _unreached(url: str) -> str:
    """Return why nothing answers where a URL leads to; nothing when something does."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=REACH_SECONDS):
            return ""
    except OSError as error:
        return "%s port %s, %s" % (parts.hostname, port, error.strerror or error)


def ask(place: str, path: str) -> Any:
    """Return what LXD, whose socket is at `place`, says of a path below /1.0/."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LXD_SECONDS)
        connection.connect(place)
        return json.loads(plain_http.get(connection, f"/1.0/{path}".rstrip("/")))["metadata"]


def fragments_of(store: str) -> List[Json]:
    """Return what the fragments of a store hold, and for whom."""
    found = []
    for area in ("nat", "haproxy", "relay"):
        folder = f"{store}/{area}/fragments"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in sorted(name for name in names if name.endswith(".json") and name[0] != "."):
            try:
                with open(f"{folder}/{name}", encoding="utf-8") as stream:
                    fragment = json.load(stream)
                found.append({key: fragment[key] for key in ("id", "owner", "keys", "spec")})
                found[-1]["lab"] = fragment.get("lab", "")
            except (OSError, ValueError, KeyError):
                # The transaction that meets it says what to do.
                continue
    return found


def _listening() -> List[Json]:
    """Return the TCP ports on which the host itself listens for others, and the program."""
    done = run(["ss", "-H", "-l", "-t", "-n", "-p"])
    found = set()
    for line in done[1].splitlines():
        fields = line.split()
        if len(fields) > 3:
            address, _, port = fields[3].rpartition(":")
            program = re.search(r'users:\(\("([^"]+)"', line)
            # HAProxy takes all addresses of its ports, that of the host itself too.
            own = address.startswith(("127.", "[::1]")) and port not in ("80", "443")
            if port.isdigit() and not own:
                found.add((int(port), program.group(1) if program else "a program"))
    return [{"port": port, "program": program} for port, program in sorted(found)]


def _configs() -> Json:
    """Return the other files that HAProxy's unit loads, by path, as its EXTRAOPTS says them."""
    text = _text("/etc/default/haproxy") or ""
    pid = run(["systemctl", "show", "haproxy", "-p", "MainPID", "--value"])[1].strip()
    words = (_text("/proc/%s/cmdline" % pid) or "").split("\0") if pid not in ("", "0") else []
    for line in text.splitlines():
        match = re.match(r"""\s*(?:export\s+)?EXTRAOPTS=["']?([^"']*)""", line)
        words += match.group(1).split() if match else []
    found = {}
    for number, place in enumerate(words):
        if number == 0 or words[number - 1] != "-f" or place == "/etc/haproxy/haproxy.cfg":
            continue
        inside = os.listdir(place) if os.path.isdir(place) else []
        names = sorted(name for name in inside if name.endswith(".cfg") and name[0] != ".")
        for path in [os.path.join(place, name) for name in names] if inside else [place]:
            found[path] = _text(path) or ""
    return found


def _nat() -> List[str]:
    """Return the loaded rules of the nat table, as iptables and as nftables itself have them."""
    saved = run(["iptables-save", "-t", "nat"])[1].splitlines()
    found, table, chain = [line for line in saved if line.startswith("-A ")], "", ""
    for line in _nat_tables(iptables=bool(found)).splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif ("dnat" in words or "redirect" in words) and not (table == "ip nat" and found):
            found.append("nft %s %s: %s" % (table, chain, line.strip()))
    return found


def _nat_tables(iptables: bool) -> str:
    """Return nftables' tables with a chain of NAT; that of iptables where it was not read."""
    tables, table = [], ""
    # Without their rules: those of a filter table take forty times as long.
    for line in run(["nft", "list", "chains"])[1].splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:2] == ["type", "nat"] and not (iptables and table == "ip nat"):
            tables.append(table)
    names = sorted(set(tables))
    return "".join(run(["nft", "list", "table", *name.split()])[1] for name in names)


def _ufw_rules() -> List[str]:
    """Return the notes that UFW keeps beside the rules of its users, IPv4's."""
    lines = (_text("/etc/ufw/user.rules") or "").splitlines()
    return [line for line in lines if line.startswith("### tuple ### ")]


def _ufw_output() -> str:
    """Return UFW's default for what leaves the host: ACCEPT, DROP or REJECT."""
    match = re.search(
        r'^DEFAULT_OUTPUT_POLICY="?(\w+)', _text("/etc/default/ufw") or "", re.MULTILINE
    )
    return match.group(1) if match else ""


def _routes() -> List[Json]:
    """Return the IPv4 routes of all tables; those to the host itself are none."""
    found = []
    for line in run(["ip", "-4", "route", "show", "table", "all"])[1].splitlines():
        words = line.split()
        kinds = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
        kind = words.pop(0) if words[0] in (*kinds, "local", "broadcast", "multicast") else ""
        if kind in ("local", "broadcast", "multicast"):
            continue
        to = "0.0.0.0/0" if words[0] == "default" else words[0]
        named = {word: words[place + 1] for place, word in enumerate(words[:-1])}
        found.append(
            {
                "to": to if "/" in to else to + "/32",
                "device": named.get("dev", ""),
                "table": named.get("table", ""),
                "line": line.strip(),
            }
        )
    return found


def _haproxy(store: str) -> str:
    """Return what HAProxy says of what stands around our part; nothing when it is valid.

    It is not asked of what it took already, at our last change.
    """
    config = "/etc/haproxy/haproxy.cfg"
    if not shutil.which("haproxy", path=PATH):
        return ""
    try:
        outside = managed_block.split(_text(config) or "")
    except managed_block.DamagedError:
        return ""
    around = outside.before + outside.after
    if around == _text(f"{store}/haproxy/loaded"):
        return ""
    with tempfile.NamedTemporaryFile("w", prefix="grappe-", suffix=".cfg") as copy:
        copy.write(around)
        copy.flush()
        status, _out, err = run(["haproxy", "-c", "-f", copy.name])
    # Status 2: valid, and without a listener, as a file is before its first frontend.
    return "" if status in (0, 2) else err.strip().replace(copy.name, config) or f"exit {status}"


def _subnets() -> List[Json]:
    """Return the IPv4 networks of the host's interfaces."""
    found = []
    for line in run(["ip", "-4", "-o", "address", "show"])[1].splitlines():
        fields = line.split()
        found.append({"interface": fields[1], "subnet": fields[3]})
    return found


def _text(path: str) -> Any:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().encode("utf-8", "replace").decode()
    except OSError:
        return None


def run(argv: List[str]) -> Any:
    """Run a program; return its exit status, its output and what it said of errors."""
    try:
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=20,
            env={**os.environ, "PATH": PATH, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
