"""Tunnels on the lab host: the user, the keys, the units. Runs there; standard library alone."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, List

from remote import identity, reachability
from remote.names import TUNNEL_HOME, TUNNEL_USER
from remote.system import File, RefusedError, System

Json = Dict[str, Any]
USER, HOME = TUNNEL_USER, TUNNEL_HOME
UNITS = "/etc/systemd/system"


class NotOursError(RefusedError):
    """The tunnel belongs to another stack."""


def main(request: Json) -> Json:
    """Run one operation.

    Args:
        request: `operation`, the name of a method of `Tunnels`, and its arguments.

    Returns:
        `ok` and the operation's `result`; or a refusal: `ok` False, `brief`, `seen`, `do` and
        `not_ours`, whether the tunnel belongs to another stack.
    """
    return serve(Tunnels(System(), reachability.main), request)


def serve(tunnels: Tunnels, request: Json) -> Json:
    """Run one operation; a refusal is an answer too."""
    request = dict(request)
    operation = request.pop("operation")
    try:
        return {"ok": True, "result": getattr(tunnels, operation)(**request)}
    except RefusedError as error:
        return {
            "ok": False, "brief": error.brief, "seen": error.seen, "do": error.do,
            "not_ours": isinstance(error, NotOursError),
        }  # fmt: skip


class Tunnels:
    """The tunnels of one lab host.

    Args:
        system: The host.
        reach: Checks an address from here, as `reachability.main`.
    """

    def __init__(self, system: System, reach: Callable[[Json], List[Json]]) -> None:
        self._system = system
        self._reach = reach

    def make_key(self, name: str, whose: Json) -> Json:
        """Make a tunnel's key pair if it is missing."""
        folder = f"{HOME}/{name}"
        self._demand(name, whose)
        self._sweep(name)
        # Before the user: a killed run's things are found by their mark.
        self._mark(name, "key", whose)
        if self._system.run(["id", "-u", USER]).status != 0:
            self._system.must(
                ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", HOME,
                 "--shell", "/usr/sbin/nologin", USER]
            )  # fmt: skip
        public = self._public(name)
        if not public:
            # A killed run may leave a private key alone, which ssh-keygen would not overwrite.
            self._system.write(f"{folder}/key", File(None))
            path = self._system.root + f"{folder}/key"
            self._system.must(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path]
            )
            public = self._public(name)
        self._system.must(["chown", "-R", f"{USER}:{USER}", self._system.root + folder])
        self._system.must(["chmod", "0700", self._system.root + folder])
        return {"public_key": public}

    def read_key(self, name: str, whose: Json) -> Json:
        """Return the public key; empty without one."""
        self._demand(name, whose)
        return {"public_key": self._public(name), **self._marks(name, "key")}

    def remove_key(self, name: str, whose: Json) -> Json:
        """Remove a key pair and any tunnel that still uses it; the last one removes the user."""
        folder = f"{HOME}/{name}"
        self.lower_tunnel(name, whose)
        for path in ("key", "key.pub", "known_hosts", "owner", "lab"):
            self._system.write(f"{folder}/{path}", File(None))
        for path in (folder, HOME):
            real = self._system.root + path
            if os.path.isdir(real) and not os.listdir(real):
                os.rmdir(real)
        last = not os.path.isdir(self._system.root + HOME)
        if last and self._system.run(["id", "-u", USER]).status == 0:
            self._system.must(["userdel", USER])
        return {}

    def raise_tunnel(
        self, *, name: str, whose: Json, unit: str, known_hosts: str, checks: Json, seconds: float
    ) -> Json:
        """Start a tunnel and wait until it carries traffic.

        Raises:
            RefusedError: It has no key, or carries nothing within `seconds`; says why.
        """
        folder, service = f"{HOME}/{name}", _service(name)
        self._demand(name, whose)
        if not self._public(name):
            raise RefusedError(f"the tunnel {name} has no key", do="run it again")
        self._mark(name, "tunnel", whose)
        self._system.write(f"{folder}/known_hosts", File(known_hosts, 0o644))
        self._system.write(f"{UNITS}/{service}", File(unit, 0o644))
        self._system.must(["systemctl", "daemon-reload"])
        self._system.must(["systemctl", "enable", "--quiet", service])
        since = time.time()
        self._system.must(["systemctl", "restart", service])
        deadline = time.monotonic() + seconds
        while True:
            wrong = self._fault(name, checks)
            if not wrong:
                return {}
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
        raise RefusedError(
            f"the tunnel {name} carries nothing",
            "\n".join([wrong, *self._messages(service, since)]),
            "fix what ssh reports, then run it again",
        )

    def read_tunnel(
        self, *, name: str, whose: Json, unit: str, known_hosts: str, checks: Json
    ) -> Json:
        """Return `there`, whether a tunnel exists, `drift`, its faults, and its marks."""
        self._demand(name, whose)
        found = self._system.read(f"{UNITS}/{_service(name)}").content
        if found is None:
            return {"there": False, "drift": ""}
        if found != unit:
            drift = f"{_service(name)} was changed by hand"
        elif self._system.read(f"{HOME}/{name}/known_hosts").content != known_hosts:
            drift = "the relay's pinned host key was changed by hand"
        else:
            drift = self._fault(name, checks)
        return {"there": True, "drift": drift, **self._marks(name, "tunnel")}

    def lower_tunnel(self, name: str, whose: Json) -> Json:
        """End a tunnel and remove its unit."""
        self._demand(name, whose)
        self._sweep(name)
        service = _service(name)
        if self._system.read(f"{UNITS}/{service}").content is not None:
            self._system.run(["systemctl", "disable", "--now", "--quiet", service])
            self._system.write(f"{UNITS}/{service}", File(None))
            self._system.must(["systemctl", "daemon-reload"])
            self._system.run(["systemctl", "reset-failed", service])
        self._system.write(f"{HOME}/{name}/known_hosts", File(None))
        return {}

    def _sweep(self, name: str) -> None:
        """Remove files that a killed run staged."""
        for file in ("key", "known_hosts", "owner", "lab"):
            self._system.sweep(f"{HOME}/{name}/{file}")
        self._system.sweep(f"{UNITS}/{_service(name)}")

    def _fault(self, name: str, checks: Json) -> str:
        """Return what is wrong with a tunnel: a running unit may carry nothing."""
        service = _service(name)
        for word, meant in (("is-enabled", "enabled"), ("is-active", "active")):
            if self._system.run(["systemctl", word, "--quiet", service]).status != 0:
                return f"{service} is not {meant}"
        results = self._reach({**checks, "seconds": 0})
        return "; ".join(
            f"port {check['port']} of the relay carries nothing: {result['seen']}"
            for check, result in zip(checks["checks"], results)
            if not result["ok"]
        )

    def _messages(self, service: str, since: float) -> List[str]:
        """Return the last messages of ssh."""
        done = self._system.run(
            ["journalctl", "-u", service, "--since", f"@{int(since)}", "-n", "40", "-o", "cat"]
        )
        lines = [line for line in done.out.splitlines() if line and not _is_systemds(line)]
        return sorted(set(lines), key=lines.index)[-6:]

    def _public(self, name: str) -> str:
        text = self._system.read(f"{HOME}/{name}/key.pub").content or ""
        return " ".join(text.split()[:2])

    def _marks(self, name: str, kind: str) -> Json:
        """Return the marks of a tunnel's folder: `owner`, `lab`, and the incarnation of a kind."""
        folder = f"{HOME}/{name}"
        owner = (self._system.read(f"{folder}/owner").content or "").strip()
        kept = json.loads(self._system.read(f"{folder}/lab").content or "{}")
        return {"owner": owner, "lab": kept.get("lab", ""), "incarnation": kept.get(kind, "")}

    def _mark(self, name: str, kind: str, whose: Json) -> None:
        folder = f"{HOME}/{name}"
        kept = json.loads(self._system.read(f"{folder}/lab").content or "{}")
        kept.update({"lab": whose["lab"], kind: whose["incarnation"]})
        self._system.write(f"{folder}/owner", File(whose["owner"] + "\n", 0o644))
        self._system.write(f"{folder}/lab", File(json.dumps(kept) + "\n", 0o644))

    def _demand(self, name: str, whose: Json) -> None:
        held = self._marks(name, "")
        if held["owner"] and not identity.belongs(held, whose["owner"], whose["lab"]):
            raise NotOursError(
                f"the tunnel {name} exists already and was left alone",
                identity.whose(held, whose["owner"]),
                identity.way_out(held, whose["owner"]),
            )


def _service(name: str) -> str:
    return f"grappe-tunnel-{name}.service"


def _is_systemds(line: str) -> bool:
    return (
        line.startswith(("Started ", "Stopped ", "Stopping ", "Starting ")) or ".service: " in line
    )
