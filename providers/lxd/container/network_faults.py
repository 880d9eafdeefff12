"""Find why the ports of a running server do not answer: its network, or no listener."""

from __future__ import annotations

import re
from collections.abc import Sequence

from providers.lxd import daemon, script_run

SECONDS = 20
_SURVEY = "ip -4 -o address show; ip -4 route show; cat /proc/net/tcp /proc/net/tcp6"
# A line of /proc/net/tcp whose socket listens; the port, in hexadecimal.
LISTENING = re.compile(r"^ *\d+: \w+:(\w{4}) \w+:\w{4} 0A ", re.MULTILINE)
NO_ROUTE = "it has no default route"
# Who listens on a port, as a unit.
_UNITS = {22: "ssh", 80: "nginx", 443: "nginx"}


def find(
    lxd: daemon.Daemon, project: str, container: str, address: str, ports: Sequence[int]
) -> list[str]:
    """Return a line for each fault of a running server whose ports do not answer.

    Raises:
        errors.DaemonError: It does not run.
    """
    surveyed = script_run.output(lxd, project, container, ["sh", "-c", _SURVEY], SECONDS)
    return judge(surveyed, address, ports)


def judge(surveyed: str, address: str, ports: Sequence[int]) -> list[str]:
    """Return a line for each fault; pure.

    Args:
        surveyed: The output of `_SURVEY`; a server may lack `ip`.
        address: The address that the server should have.
        ports: Those that do not answer.
    """
    if " 127.0.0.1/" in surveyed and f" {address}/" not in surveyed:
        return [f"it has lost its address {address}"]
    routed = re.search(r"^\S+ dev ", surveyed, re.MULTILINE)
    if routed and not re.search(r"^default ", surveyed, re.MULTILINE):
        return [NO_ROUTE]
    listening = {int(port, 16) for port in LISTENING.findall(surveyed)}
    shut = sorted(set(ports) - listening)
    return [f"nothing in it listens on {', '.join(map(str, shut))}"] if shut and listening else []


def remedy(faults: Sequence[str]) -> str:
    """Return the command that repairs the faults when run in the server; nothing without one."""
    text = " ".join(faults)
    if "lost its address" in text or NO_ROUTE in text:
        return "reboot"
    units = {unit for port, unit in _UNITS.items() if re.search(rf"listens on .*\b{port}\b", text)}
    return f"systemctl restart {' '.join(sorted(units))}" if units else ""
