"""The running HAProxy: the configuration and the maps that it has loaded.

Runs on the host: standard library alone. Its frontend reports the generation of both; its run-time
socket reads and changes the maps.
"""

from __future__ import annotations

import os
import re
import time
from typing import Dict, List

from remote import haproxy_maps
from remote.haproxy_unit import CONFIG
from remote.system import RefusedError, System
from remote.target import Files

SOCKET_NAME = "grappe.sock"
# The master's socket in Debian's unit; it forwards commands to the serving worker.
MASTER = "/run/haproxy-master.sock"
RELOAD_SECONDS = 10.0
# More commands than this are slower than a reload, and only a change by hand needs so many.
MOST_COMMANDS = 2000
# The bytes that HAProxy reads of one connection to its socket, with room to spare (tune.bufsize).
_SENT_AT_ONCE = 8000
_GENERATION = re.compile(r'string "([0-9a-f]{16}) ')
_SOCKET = re.compile(r"^\s*stats\s+socket\s+(?:unix@)?(/\S+)", re.MULTILINE)


class RunningHaproxy:
    """The HAProxy that serves the host now."""

    def __init__(self, system: System) -> None:
        self._system = system

    def generation(self) -> str:
        """Return the generation of our part that HAProxy has loaded; empty if it is silent."""
        try:
            return self._system.http(80, haproxy_maps.GENERATION_PATH).partition(" ")[0]
        except OSError:
            return ""

    def fault(self, files: Files) -> str:
        """Return what is wrong with the generations that HAProxy reports."""
        states = files[haproxy_maps.STATES].content or ""
        wanted = f"{part_generation(files[CONFIG].content or '')} {haproxy_maps.generation(states)}"
        try:
            loaded = self._system.http(80, haproxy_maps.GENERATION_PATH)
        except OSError as error:
            return f"HAProxy does not answer on port 80: {error}"
        return "" if loaded == wanted else f"HAProxy has loaded another configuration: {loaded}"

    def changed_map(self, files: Files) -> str:
        """Return the first line of the maps that somebody changed while HAProxy runs."""
        try:
            changes = haproxy_maps.commands(self._live(files), _texts(files))
        except OSError:
            # A silent socket is no drift: a change then reloads HAProxy.
            return ""
        return changes[0].split()[3] if changes else ""

    def update_maps(self, files: Files) -> str:
        """Update the loaded maps to the files; return the reason if that fails."""
        config = files[CONFIG].content or ""
        try:
            todo = haproxy_maps.commands(self._live(files), _texts(files))
            if len(todo) > MOST_COMMANDS:
                return f"{len(todo)} lines of its maps had to change"
            while todo:
                count = max(1, _SENT_AT_ONCE // (2 * max(map(len, todo))))
                if answer := self._send_commands(config, todo[:count]).strip():
                    return f"its run-time socket answered: {answer.splitlines()[0]}"
                todo = todo[count:]
        except OSError as error:
            return f"its run-time socket is unusable: {error}"
        # A reload that began before the files were renamed ends in a worker with the old ones.
        deadline = time.monotonic() + RELOAD_SECONDS
        while self._system.run(["systemctl", "is-active", "haproxy"]).out.strip() == "reloading":
            if time.monotonic() > deadline:
                return "a reload does not end"
            time.sleep(0.01)
        return self.fault(files)

    def wait_for(self, files: Files) -> None:
        """Wait until HAProxy has loaded the files.

        Raises:
            RefusedError: It has not by the deadline.
        """
        deadline = time.monotonic() + RELOAD_SECONDS
        while wrong := self.fault(files):
            if time.monotonic() > deadline:
                raise RefusedError(
                    "HAProxy did not take the new configuration", wrong, "journalctl -u haproxy"
                )
            time.sleep(0.01)

    def wait_until_left(self) -> None:
        """Wait until HAProxy serves no part of ours, as long as a reload may take."""
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._system.http(80, haproxy_maps.GENERATION_PATH)
                if not re.match("[0-9a-f]{16}", answer):
                    return
            except OSError:
                return
            time.sleep(0.01)

    def _live(self, files: Files) -> Dict[str, haproxy_maps.Entries]:
        """Return the maps that HAProxy has loaded; raise OSError if its socket fails."""
        config, live = files[CONFIG].content or "", {}
        for path in (haproxy_maps.ROUTES, haproxy_maps.STATES):
            answer = self._send_commands(config, [f"show map {path}"])
            live[path] = haproxy_maps.loaded(answer)
            if not answer.startswith("0x") and answer.strip():
                raise OSError(answer.strip())
        return live

    def _send_commands(self, config: str, commands: List[str]) -> str:
        """Send commands to the running HAProxy; return its answers, or raise OSError."""
        refused = OSError("it has no run-time socket")
        for path, prefix in (*((path, "") for path in sockets(config)), (MASTER, "@1 ")):
            try:
                answer = self._system.send(
                    path, "; ".join(prefix + line for line in commands) + "\n"
                )
            except OSError as error:
                refused = error
                continue
            if "Permission denied" not in answer:
                return answer
        raise refused


def runtime(outside: str) -> str:
    """Return the path of our run-time socket: beside the host's own, where HAProxy may write."""
    socket = _SOCKET.search(outside)
    return f"{os.path.dirname(socket.group(1)) if socket else '/run'}/{SOCKET_NAME}"


def sockets(config: str) -> List[str]:
    """Return the run-time sockets of a configuration, ours first unless somebody removed it."""
    return sorted(_SOCKET.findall(config), key=lambda path: not path.endswith(f"/{SOCKET_NAME}"))


def part_generation(config: str) -> str:
    """Return the generation that our part of a configuration reports; empty without our part."""
    match = _GENERATION.search(config)
    return match.group(1) if match else ""


def _texts(files: Files) -> Dict[str, str]:
    return {path: files[path].content or "" for path in (haproxy_maps.ROUTES, haproxy_maps.STATES)}
