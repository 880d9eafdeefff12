"""A fake lab host with tunnels in a folder; it passes the real one's contract suite."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from providers.tunnel import host as hosts
from remote import tunnels
from remote.system import Result, System

OK, FAILED = Result(0, "", ""), Result(1, "", "")


class FakeTunnelSystem(System):
    """A machine with fake users, keys and units.

    Attributes:
        users: The existing users.
        enabled: Units that start at boot.
        active: Units that run.
        carries: Whether something answers behind the relay's ports.
        journal: ssh's messages in the journal.
    """

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(str(root))
        self.users: set[str] = set()
        self.enabled: set[str] = set()
        self.active: set[str] = set()
        self.carries, self.journal = True, ""

    def run(
        self, argv: Sequence[str], stdin: str = "", environment: dict[str, str] | None = None
    ) -> Result:
        """Play a program."""
        del stdin, environment
        program, last = argv[0], argv[-1]
        match program:
            case "id":
                return OK if last in self.users else FAILED
            case "useradd":
                self.users.add(last)
            case "userdel":
                self.users.discard(last)
            case "ssh-keygen":
                pathlib.Path(last).write_text("private")
                key = f"ssh-ed25519 AAAA{abs(hash(last)):x} {pathlib.Path(last).parent.name}\n"
                pathlib.Path(f"{last}.pub").write_text(key)
            case "journalctl":
                return Result(0, self.journal, "")
            case "systemctl":
                return self._systemctl(argv[1], last)
        return OK

    def _systemctl(self, action: str, unit: str) -> Result:
        if action in {"is-active", "is-enabled"}:
            units = self.active if action == "is-active" else self.enabled
            return OK if unit in units else FAILED
        if action == "enable":
            self.enabled.add(unit)
        elif action == "restart":
            self.active.add(unit)
        elif action in {"disable", "stop"}:
            self.active.discard(unit)
            if action == "disable":
                self.enabled.discard(unit)
        return OK

    def reach(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer as `reachability.main` does."""
        answer = "200 OK" if self.carries else "ConnectionRefusedError"
        return [{"ok": self.carries, "seen": answer} for _check in request["checks"]]


class FakeTunnelHost(hosts.TunnelHost):
    """A fake lab host in a folder."""

    def __init__(self, root: pathlib.Path) -> None:
        self.system = FakeTunnelSystem(root)

    def call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        """Run an operation in this process."""
        worked = tunnels.Tunnels(self.system, self.system.reach)
        return hosts.read("ssh://fake", tunnels.serve(worked, {"operation": operation, **request}))
