"""Make, change and remove bridges."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from core import errors, run, shared_answers
from hosts.host import Host
from providers import base
from providers.lxd import client, daemon, leftovers, ownership
from providers.lxd.exec import driver as exec_driver
from providers.lxd.network import model

# LXD's status of a bridge that it could not start. It tries again once a minute.
UNAVAILABLE = "Unavailable"
START_SECONDS = 90.0
# LXD's statuses of a half-made bridge, which it neither changes nor finishes.
PENDING = "Pending"
UNFINISHED = (PENDING, "Errored")
# LXD makes one bridge a second: one that is pending for longer than a class takes is abandoned.
SETTLE_SECONDS, POLL_SECONDS = 20.0, 0.2


class NetworkDriver:
    """Networks of one daemon.

    Args:
        lxd: The daemon.
        lost: Returns what a bridge has lost since LXD started it; an empty text for nothing.
        attach: Attaches the host's ends of servers' links to a bridge, where they lost theirs.
    """

    def __init__(
        self,
        lxd: daemon.Daemon,
        lost: Callable[[model.NetworkSpec], str] = lambda _spec: "",
        attach: Callable[[str, list[str]], object] = lambda _bridge, _ports: None,
    ) -> None:
        self._lxd = lxd
        self._lost = lost
        self._attach = attach

    def create(self, spec: model.NetworkSpec) -> base.Outputs:
        """Begin to make the bridge, or finish one that an interrupted run left.

        LXD may not have started a new bridge yet: call the daemon's `finish` before using it.
        """
        found = self._find_settled(spec)
        if found is not None and found.get("status") in UNFINISHED:
            self.delete(spec)
            found = None
        if found is None:
            body = {"name": spec.name, "type": "bridge", **_body(spec)}
            # LXD waits half a second for its dnsmasq; meanwhile its servers are copied.
            self._lxd.begin("networks", body, f"networks/{spec.name}")
            return {}
        return self.update(spec, spec)

    def read(self, spec: model.NetworkSpec) -> base.Reading[model.NetworkSpec] | None:
        """Read the bridge."""
        found = self._find(spec)
        if found is None:
            return None
        config = ownership.visible(found["config"])
        fixed = model.settings(dataclasses.replace(spec, config={}))
        address = config.get("ipv4.address", "")
        changed = [
            f"{key} is {config.get(key, 'not set')}, not {value}"
            for key, value in fixed.items()
            if config.get(key) != value and key != "ipv4.address"
        ]
        if found.get("status") == UNAVAILABLE:
            changed.append("LXD could not start it: its servers have no network")
        elif found.get("status") in UNFINISHED:
            changed.append("LXD never finished making it")
        elif not changed and (lost := self._lost(spec)):
            changed.append(lost)
        own = {key: value for key, value in config.items() if key not in fixed}
        actual = dataclasses.replace(
            ownership.marked(spec, found["config"]), address=address, config=own
        )
        return base.Reading(actual, drift="; ".join(changed))

    def update(self, old: model.NetworkSpec, new: model.NetworkSpec) -> base.Outputs:
        """Set its configuration; recreate a bridge that LXD never finished.

        Raises:
            errors.NotReadyError: LXD does not start the bridge.
        """
        del old
        if (self._find_settled(new) or {}).get("status") in UNFINISHED:
            return self.create(new)
        path, body = f"networks/{new.name}", _body(new)
        lost = self._lost(new)
        if lost:
            # LXD reloads its rules and sets the link up only when the setting changes.
            off = {**body, "config": {**body["config"], "ipv4.nat": "false"}}
            self._lxd.change("PUT", path, off)
        self._lxd.change("PUT", path, body)
        if lost:
            self._attach(new.name, leftovers.links(self._lxd, self._find(new) or {}, new.name))
        self._wait_until_started(new)
        # Until a restarted LXD has started an unfinished bridge, "Unavailable" hides that status.
        if (self._find(new) or {}).get("status") in UNFINISHED:
            return self.create(new)
        return {}

    def delete(self, spec: model.NetworkSpec) -> None:
        """Remove the bridge."""
        if self._find(spec) is not None:
            self._lxd.change("DELETE", f"networks/{spec.name}")

    def empty(self, spec: model.NetworkSpec) -> list[str]:
        """Remove leftover containers of the lab on the bridge."""
        return leftovers.free(self._lxd, self._find(spec) or {}, spec)

    def _wait_until_started(self, spec: model.NetworkSpec) -> None:
        """Wait for LXD, which retries to start a failed bridge by itself.

        Raises:
            errors.NotReadyError: LXD does not start it.
        """
        deadline, reported = time.monotonic() + START_SECONDS, False
        while (self._find(spec) or {}).get("status") == UNAVAILABLE:
            if time.monotonic() > deadline:
                raise errors.NotReadyError(
                    f"LXD does not start the bridge {spec.name}",
                    seen=f"it is {UNAVAILABLE} since {START_SECONDS:g} s",
                    do="on the host: journalctl -u lxd says why; then the same again",
                )
            if not reported:
                self._lxd.unblock(f"networks/{spec.name}")
                exec_driver.to_terminal(spec.name, "network")("LXD starts it again within a minute")
                reported = True
            run.raise_if_cancelled()
            time.sleep(1)

    def _find_settled(self, spec: model.NetworkSpec) -> dict[str, Any] | None:
        """Find the bridge; give LXD time for one that it may still be making for a dead run."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self._find(spec)) and found.get("status") == PENDING:
            if time.monotonic() > deadline:
                break
            run.raise_if_cancelled()
            time.sleep(POLL_SECONDS)
        return found

    def _find(self, spec: model.NetworkSpec) -> dict[str, Any] | None:
        path = f"networks/{spec.name}"
        # The containers on a bridge that this process began report why LXD could not make it.
        with contextlib.suppress(errors.DaemonError):
            self._lxd.finish(path)
        return ownership.find(self._lxd, path, spec, f"the network {spec.name}")


def _body(spec: model.NetworkSpec) -> dict[str, Any]:
    return {
        "description": f"The bridge of {base.stack_of(spec.owner)}, made by Grappe",
        "config": {**model.settings(spec), **ownership.marks(spec)},
    }


def attach(host: Host, bridge: str, ports: list[str]) -> object:
    """Attach servers' links to a bridge of the host."""
    return host.call("remote.bridge", {"name": bridge, "ports": ports})


def lost_settings(host: Host, spec: model.NetworkSpec) -> str:
    """Return what a bridge of the host has lost."""
    asked = (host, spec.name, spec.address)
    return shared_answers.about(host, "bridges", _lost_settings).answer(asked)[spec.name]


def _lost_settings(asked: Sequence[tuple[Host, str, str]]) -> dict[str, str]:
    """Return what bridges have lost, by name."""
    addresses = {name: address for _host, name, address in asked}
    request = {"addresses": addresses, "sockets": client.SOCKETS}
    lost: dict[str, str] = asked[0][0].call("remote.bridge", request)
    return lost
