"""Waiting until a container is of use: its address, its systemd, its port.

Each has a deadline of its own, and a failure shows what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from providers import errors
from providers.lxd import daemon
from providers.lxd.container import model

CONSOLE_LINES = 12
# Called with an address, a port and seconds; returns what was seen instead of an answer.
Dial = Callable[[str, int, int], str]

# `degraded` is a system that runs with a failed unit, which is common in containers.
_SYSTEM = 'case "$(systemctl is-system-running --wait)" in running|degraded) exit 0;; esac; exit 1'


def wait(lxd: daemon.Daemon, dial: Dial, spec: model.ContainerSpec, where: str) -> None:
    """Return when the container is ready; raise NotReadyError that says what was seen."""
    _wait_for_address(lxd, spec, where)
    _wait_for_system(lxd, spec, where)
    if spec.port:
        seen = dial(spec.address, spec.port, spec.port_seconds)
        if seen:
            raise _not_ready(
                lxd, spec, where,
                f"does not answer on {spec.address}:{spec.port}", spec.port_seconds, seen,
            )  # fmt: skip


def _wait_for_address(lxd: daemon.Daemon, spec: model.ContainerSpec, where: str) -> None:
    deadline = time.monotonic() + spec.address_seconds
    while True:
        state = lxd.get(f"instances/{spec.name}/state", project=spec.project)
        if spec.address in _addresses(state):
            return
        if state["status"] not in {"Running", "Starting", "Ready"}:
            raise _not_ready(lxd, spec, where, "stopped while it started", 0, state["status"])
        if time.monotonic() > deadline:
            seen = f"{state['status'].lower()}, its addresses: {_addresses(state) or 'none'}"
            raise _not_ready(
                lxd, spec, where, f"did not get its address {spec.address}",
                spec.address_seconds, seen,
                f"is a firewall in the way of DHCP on {spec.network}? ufw status; "
                f"lxc network show {spec.network}",
            )  # fmt: skip
        time.sleep(0.05)


def _wait_for_system(lxd: daemon.Daemon, spec: model.ContainerSpec, where: str) -> None:
    body = {
        "command": ["sh", "-c", _SYSTEM],
        "interactive": False,
        "wait-for-websocket": False,
        "record-output": False,
    }
    failed = f"systemd in it did not come up within {spec.system_seconds} s"
    try:
        done = lxd.change(
            "POST",
            f"instances/{spec.name}/exec",
            body,
            project=spec.project,
            timeout=spec.system_seconds,
        )
    except errors.DaemonError as error:
        raise _not_ready(lxd, spec, where, failed, 0, error.seen or error.brief) from error
    if done.get("return") != 0:
        raise _not_ready(lxd, spec, where, failed, 0, "systemctl is-system-running says no")


def _addresses(state: dict[str, Any]) -> list[str]:
    nic = (state.get("network") or {}).get(model.NIC) or {}
    return [a["address"] for a in nic.get("addresses", []) if a["family"] == "inet"]


def _not_ready(  # noqa: PLR0913 - a failure has these parts
    lxd: daemon.Daemon,
    spec: model.ContainerSpec,
    where: str,
    what: str,
    seconds: int,
    seen: str,
    remedy: str = "",
) -> errors.NotReadyError:
    within = f" within {seconds} s" if seconds else ""
    console = _console(lxd, spec)
    return errors.NotReadyError(
        f"{spec.id} {what}{within} on {where}",
        seen=f"{seen}\nits console: {console}" if console else seen,
        do=f"{remedy + '; ' if remedy else ''}look into it: lxc exec {spec.name} "
        f"--project {spec.project} -- bash; then run it again: it goes on from here",
    )


def _console(lxd: daemon.Daemon, spec: model.ContainerSpec) -> str:
    try:
        text = lxd.read_file(f"instances/{spec.name}/console", project=spec.project)
    except (daemon.AbsentError, errors.DaemonError):
        return ""
    lines = text.decode(errors="replace").replace("\r", "").splitlines()
    return "\n".join(line for line in lines[-CONSOLE_LINES:] if line.strip())
