"""Survey a lab host for a preflight: its resources and their owners. Runs there, read only.

Standard library alone.
"""

from __future__ import annotations

import concurrent.futures
import errno
import os
import re
import socket
import tempfile
import urllib.parse
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, Set, cast

from remote import haproxy_unit, iptables, managed_block, untouchable
from remote.surveys import abilities, facts, fragments, listening, lxd, networkd, programs, routes
from remote.unmanaged import legacy, nft

REACH_SECONDS = 5
FILES = (
    "/etc/ufw/before.rules",
    "/etc/ufw/before.init",
    "/etc/ufw/after.init",
    haproxy_unit.CONFIG,
)
UFW_CONF = "/etc/ufw/ufw.conf"
# Verdicts; `ct status dnat`, `icmp type redirect` and types such as nd-redirect are conditions.
_REDIRECTS = re.compile(
    r"\bdnat (?:ip )?(?:addr \. port )?(?:to|prefix)\b"
    r"|(?<![\w-])(?<!type )redirect(?: to\b| random| fully-random| persistent|$)"
)
_OUR_JUMP = re.compile(r"^.*\bjump GRAPPE-.*$", re.MULTILINE)
_QUOTED = re.compile(r'"[^"]*"')
PROGRAMS = ("iptables", "iptables-restore", "ufw", "haproxy", "systemctl", "ss")

Json = Dict[str, Any]


def main(request: Json) -> facts.LabFacts:
    """Survey the host.

    Args:
        request: `sockets`, the paths of LXD's socket; `store`, Grappe's folder; `urls`, which
            the host must reach; `projects`, whose instances it lists; `paths`, kernel `modules`,
            own `addresses` and `abilities` that it may lack; `networks`, those of LXD's whose
            configuration counts, instead of all; `pools`, whose space counts.
    """
    unit = haproxy_unit.parse(programs.run(haproxy_unit.SHOW)[1], lambda path: _text(path) or "")
    # Chains without rules: listing a filter table's rules takes forty times as long.
    chains = nft.chains(programs.run(["nft", "list", "chains"])[1])
    old = _legacy()
    saved = iptables.listing(lambda argv: programs.run(argv)[1])
    # If UFW uses iptables-legacy, the tables of iptables-nft are somebody else's.
    known = set() if _uses_legacy() else nft.IPTABLES
    parts: Dict[str, Callable[[], Any]] = {
        "lxd": lambda: lxd.main(
            request["sockets"], request.get("networks"), request.get("pools", ())
        ),
        "instances": lambda: lxd.instances(request["sockets"], request.get("projects", [])),
        "haproxy": lambda: _haproxy(request["store"], unit),
        "haproxy_loads": lambda: unit.files,
        "haproxy_masked": lambda: unit.masked,
        "variables": lambda: _variables(unit),
        "listening": lambda: listening.main(unit),
        "subnets": _subnets,
        "routes": routes.main,
        "nat": lambda: [*_nat(chains, saved, known), *legacy.nat_rules(old)],
        "before_ufw": lambda: list(iptables.Chains(saved).before_ufw()),
        "unled": lambda: iptables.Chains(saved).unled(),
        "filters": lambda: _filters(chains, old, known),
        "configs": lambda: _configs(unit),
        "ufw_rules": _ufw_rules,
        "ufw_output": _ufw_output,
        "ufw_sysctl": _ufw_sysctl,
        "networkd": networkd.main,
        "fragments": lambda: fragments.main(request["store"]),
        "reached": lambda: {url: _unreached(url) for url in request["urls"]},
        "absent": lambda: _absent(request),
        "missing": lambda: [name for name in PROGRAMS if not programs.which(name)],
        "files": lambda: {path: _text(path) for path in FILES},
        "fixed": lambda: {**untouchable.reasons([*FILES, request["store"]]), **_unloadable(saved)},
    }
    # Most parts wait for other programs.
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        asked = {name: pool.submit(part) for name, part in parts.items()}
        instances = asked.pop("instances")
        found = {name: each.result() for name, each in asked.items()}
    try:
        found["instances"] = instances.result()
    except (OSError, ValueError, KeyError) as error:
        # It must not pass for an empty list: servers that nobody sees would be recreated unasked.
        found["instances"] = []
        found["lxd"] = {"program": "lxc", "error": lxd.unanswered(error), **found["lxd"]}
    return cast("facts.LabFacts", found)


def _absent(request: Json) -> List[str]:
    """Return the paths, modules, addresses and abilities asked for that the host lacks."""
    return [
        *(path for path in request.get("paths", ()) if not os.path.exists(path)),
        *(name for name in request.get("modules", ()) if not _has_module(name)),
        *(address for address in request.get("addresses", ()) if not _is_own(address)),
        *abilities.missing(request.get("abilities", ()), request["sockets"]),
    ]


def _unloadable(saved: str) -> Dict[str, List[str]]:
    """Return (reason, remedy) by path of files with which UFW's next start fails or loads no rules.

    Args:
        saved: The output of `iptables-save`; the test needs UFW's chains, which a loaded UFW has.
    """
    if not iptables.Chains(saved).ufw_is_loaded():
        return {}
    found = {}
    if re.search(r"^ENABLED=[\"']?no\b", _text(UFW_CONF) or "", re.MULTILINE | re.IGNORECASE):
        reason = "says ENABLED=no, and UFW's rules are loaded all the same: they let no lab in"
        found[UFW_CONF] = [reason, "ufw enable; or ufw disable, which takes them away"]
    status, _out, err = programs.run(["iptables-restore", "--noflush", "--test", FILES[0]])
    if status and (line := re.search(r"line:? (\d+)", err)):
        number = int(line.group(1))
        lines = (_text(FILES[0]) or "").split("\n")
        words = err.strip().splitlines()[0].rpartition(": ")[2]
        reason = "is refused by iptables-restore: %s: %r" % (
            words if str(number) in words else "%s, line %d" % (words, number),
            "".join(lines[number - 1 : number]),
        )
        found[FILES[0]] = [reason, "correct that line; then ufw reload"]
    return found


def _has_module(name: str) -> bool:
    """Whether the kernel has a module, loaded or to be loaded, as LXD itself finds out."""
    if os.path.exists("/sys/module/" + name.replace("-", "_")):
        return True
    return bool(programs.run(["modprobe", "-n", "-q", name])[0] == 0)


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _unreached(url: str) -> str:
    """Return why a URL cannot be reached; nothing when it can."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=REACH_SECONDS):
            return ""
    except OSError as error:
        return "%s port %s, %s" % (parts.hostname, port, error.strerror or error)


def _configs(unit: haproxy_unit.Unit) -> Dict[str, str]:
    """Return the other files that HAProxy loads, by path: the unit's, and the running one's."""
    words = (_text("/proc/%d/cmdline" % unit.pid) or "").split("\0") if unit.pid else []
    given = haproxy_unit.named([word for word in words if word])
    paths = [*unit.files, *(path for each in given for path in haproxy_unit.listed(each))]
    return {path: _text(path) or "" for path in paths if path != haproxy_unit.CONFIG}


def _variables(unit: haproxy_unit.Unit) -> Dict[str, str]:
    """Return the variables by which HAProxy's files say where they listen; no others."""
    texts = [_text(path) or "" for path in dict.fromkeys([*unit.files, haproxy_unit.CONFIG])]
    known = dict(unit.environment)
    named: Set[str] = set()
    for words in (line.split() for text in texts for line in text.splitlines()):
        if words[:1] == ["bind"]:
            named |= set(re.findall(r"\$\{?(\w+)", " ".join(words)))
        elif words[:1] == ["setenv"] and len(words) > 2:
            known[words[1]] = words[2].strip("\"'")
        elif words[:1] == ["presetenv"] and len(words) > 2:
            known.setdefault(words[1], words[2].strip("\"'"))
    return {name: value for name, value in known.items() if name in named}


def _nat(chains: List[nft.Chain], saved: str, known: Set[str]) -> List[str]:
    """Return the loaded NAT rules, those of iptables and native ones of nftables."""
    found = iptables.Chains(saved).table("nat")
    # A table with native rules, which iptables cannot show, is read as nftables has it.
    own = {c.table for c in chains if c.kind == "nat"} - (known if found else set())
    for chain in nft.chains(_OUR_JUMP.sub("", _tables(own))):
        for rule in chain.rules if (chain.kind, chain.hook) == ("nat", "prerouting") else ():
            if _REDIRECTS.search(_QUOTED.sub("", rule).rstrip()):
                found.append("nft %s %s: %s" % (chain.table, chain.name, rule))
    return found


def _filters(chains: List[nft.Chain], old: str, known: Set[str]) -> List[Json]:
    """Return the base chains of somebody else's that filter, with their rules."""
    unknown = nft.unknown_tables(chains, known | nft.LXD)
    listed = [*nft.chains(_tables(unknown)), *legacy.chains(old)]
    return [chain._asdict() for chain in listed if chain.kind == "filter"]


def _uses_legacy() -> bool:
    """Whether UFW's iptables is not the one of nftables."""
    return "legacy" in os.path.realpath(programs.which("iptables"))


def _legacy() -> str:
    """Return the rules of iptables-legacy, where UFW's iptables is the other one."""
    used = _text("/proc/net/ip_tables_names") or ""
    if not used.split() or _uses_legacy():
        return ""
    return programs.run([f"{legacy.PROGRAM}-save"])[1]


def _tables(names: Iterable[str]) -> str:
    listed = (programs.run(["nft", "list", "table", *name.split()]) for name in sorted(names))
    return "".join(nft.with_elements(out) for _status, out, _err in listed)


def _ufw_rules() -> List[str]:
    """Return the comments that UFW keeps beside its users' IPv4 rules."""
    lines = (_text("/etc/ufw/user.rules") or "").splitlines()
    return [line for line in lines if line.startswith("### tuple ### ")]


def _ufw_sysctl() -> List[str]:
    """Return the lines of UFW's file of kernel settings that end forwarding at each of its starts.

    A later line for the same key counts instead.
    """
    named = re.search(r"^IPT_SYSCTL=\"?([^\s\"]*)", _text("/etc/default/ufw") or "", re.MULTILINE)
    path = named.group(1) if named else "/etc/ufw/sysctl.conf"
    if not path:
        # UFW loads no file.
        return []
    last: Dict[str, str] = {}
    for number, line in enumerate((_text(path) or "").splitlines(), 1):
        key, _equals, value = (part.strip() for part in line.partition("="))
        if key.replace(".", "/") in ("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"):
            last[key.replace(".", "/")] = (
                "%s:%d: %s" % (path, number, line.strip()) if value == "0" else ""
            )
    return [line for line in last.values() if line]


def _ufw_output() -> str:
    """Return UFW's default policy for outgoing packets: ACCEPT, DROP or REJECT."""
    match = re.search(
        r'^DEFAULT_OUTPUT_POLICY="?(\w+)', _text("/etc/default/ufw") or "", re.MULTILINE
    )
    return match.group(1) if match else ""


def _haproxy(store: str, unit: haproxy_unit.Unit) -> str:
    """Return HAProxy's errors about the configuration around our part; nothing when it is valid.

    This skips a configuration that HAProxy accepted at our last change.
    """
    if not programs.which("haproxy") or haproxy_unit.CONFIG not in unit.files:
        return ""
    try:
        outside = managed_block.split(_text(haproxy_unit.CONFIG) or "")
    except managed_block.DamagedError:
        return ""
    around = outside.before + outside.after
    if around == _text(f"{store}/haproxy/loaded"):
        return ""
    with _unnamed() as copy:
        copy.write(haproxy_unit.detached(around).encode())
        copy.flush()
        path = "/proc/self/fd/%d" % copy.fileno()
        kept = [copy.fileno()]
        status, _out, err = programs.run(unit.check(path), unit.environment, kept)
    # Status 2: valid, and without a listener, as a file is before its first frontend.
    words = err.strip().replace(path, haproxy_unit.CONFIG)
    return "" if status in (0, 2) else words or f"exit {status}"


def _unnamed() -> BinaryIO:
    """Return a file without a name: in memory, for the host's disk may be full."""
    try:
        return os.fdopen(os.memfd_create("grappe"), "w+b")
    except (AttributeError, OSError):
        return tempfile.TemporaryFile()


def _subnets() -> List[facts.Subnet]:
    """Return the IPv4 networks of the host's interfaces."""
    lines = programs.run(["ip", "-4", "-o", "address", "show"])[1].splitlines()
    fields = (line.split() for line in lines)
    return [{"interface": field[1], "subnet": field[3]} for field in fields]


def _text(path: str) -> Any:
    try:
        # Line ends as they are: those of Windows hide our part.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read().encode("utf-8", "replace").decode()
    except OSError:
        return None
