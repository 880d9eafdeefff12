"""Wait until a container is ready: its address, its systemd, its port.

Each has a deadline of its own, and a failure shows the last observation.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from core import errors, kernel_limits, run
from hosts.host import Host
from providers.lxd import daemon
from providers.lxd.container import model

CONSOLE_LINES = 12
POLL_SECONDS = 0.1
# Seconds that a normally booting container needs to answer.
DIAL_SECONDS = 10
# Takes an address, a port and seconds; returns the error, or nothing when the port answered.
Dial = Callable[[str, int, int], str]

# `degraded` means running with a failed unit, which is common in containers.
_SYSTEM = 'case "$(systemctl is-system-running --wait)" in running|degraded) exit 0;; esac; exit 1'


@dataclasses.dataclass(frozen=True)
class Readiness:
    """Waits for containers of one host.

    Attributes:
        lxd: The host's daemon.
        dial: Tries a port of a container from the host.
        url: The host, as messages name it.
    """

    lxd: daemon.Daemon
    dial: Dial
    url: str

    def wait(self, spec: model.ContainerSpec) -> None:
        """Return when the container is ready; raise NotReadyError with the last observation."""
        answers = bool(spec.port) and self._answers_at_once(spec)
        if not answers:
            self._wait_for_address(spec)
        self._wait_for_system(spec)
        if answers or not spec.port:
            return
        if seen := self.dial(spec.address, spec.port, spec.port_seconds):
            what = f"does not answer on {spec.address}:{spec.port} within {spec.port_seconds} s"
            raise self._not_ready(spec, what, seen)

    def _answers_at_once(self, spec: model.ContainerSpec) -> bool:
        """Whether its port answers soon: then it has its address, and LXD need not report it.

        A request for a container's state makes LXD start two programs on the host, which slows
        the very boot that we wait for; a dial costs one packet.
        """
        return not self.dial(spec.address, spec.port, min(DIAL_SECONDS, spec.port_seconds))

    def _wait_for_address(self, spec: model.ContainerSpec) -> None:
        deadline = time.monotonic() + spec.address_seconds
        while True:
            state = self.lxd.get(f"instances/{spec.name}/state", project=spec.project)
            found = _addresses(state)
            if spec.address in found:
                return
            if state["status"] not in {"Running", "Starting", "Ready"}:
                raise self._not_ready(spec, "stopped while it started", state["status"])
            if time.monotonic() > deadline:
                raise self._not_ready(
                    spec,
                    f"did not get its address {spec.address} within {spec.address_seconds} s",
                    f"{state['status'].lower()}, its addresses: {', '.join(found) or 'none'}",
                    f"is a firewall in the way of DHCP on {spec.network}? ufw status; "
                    f"{self.lxd.program} network show {spec.network}; ",
                )
            run.raise_if_cancelled()
            time.sleep(POLL_SECONDS)

    def _wait_for_system(self, spec: model.ContainerSpec) -> None:
        body = {
            "command": ["sh", "-c", _SYSTEM],
            "interactive": False,
            "wait-for-websocket": False,
            "record-output": False,
        }
        what = f"did not finish booting within {spec.system_seconds} s"
        try:
            path, seconds = f"instances/{spec.name}/exec", spec.system_seconds
            done = self.lxd.change("POST", path, body, project=spec.project, timeout=seconds)
        except errors.DaemonError as error:
            raise self._not_ready(spec, what, error.seen or error.brief) from error
        if done.get("return") != 0:
            raise self._not_ready(spec, what, "systemctl is-system-running says no")

    def _not_ready(
        self, spec: model.ContainerSpec, what: str, seen: str, remedy: str = ""
    ) -> errors.NotReadyError:
        console = self._console(spec)
        if more := kernel_limits.inotify_remedy(console):
            remedy += f"{more}; "
        return errors.NotReadyError(
            f"{spec.id} {what} on {self.url}",
            seen=f"{seen}\nits console: {console}" if console else seen,
            do=f"{remedy}look into it: {self.lxd.program} exec {spec.name} --project "
            f"{spec.project} -- bash; then run it again: it goes on from here",
        )

    def _console(self, spec: model.ContainerSpec) -> str:
        try:
            text = self.lxd.read_file(f"instances/{spec.name}/console", project=spec.project)
        except (daemon.AbsentError, errors.DaemonError):
            return ""
        lines = text.decode(errors="replace").replace("\r", "").splitlines()
        return "\n".join(line for line in lines[-CONSOLE_LINES:] if line.strip())


def _addresses(state: dict[str, Any]) -> list[str]:
    nic = (state.get("network") or {}).get(model.NIC) or {}
    return [item["address"] for item in nic.get("addresses", []) if item["family"] == "inet"]


def dial_from(host: Host) -> Dial:
    """Return a function that dials from a host."""

    def dial(address: str, port: int, seconds: int) -> str:
        request = {"address": address, "port": port, "seconds": seconds}
        return str(host.call("remote.dial", request, timeout=seconds + 30))

    return dial
