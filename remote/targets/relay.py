"""The relay's sshd: a user for tunnels, its keys, and their rights. Runs on the relay.

Standard library alone. Both files are Grappe's own: a drop-in of sshd's, and the authorized keys
that it names.
"""

from __future__ import annotations

import time
from typing import Dict, List

from remote.system import File, RefusedError
from remote.target import Files, Fragment, Target

DROP_IN = "/etc/ssh/sshd_config.d/grappe-tunnel.conf"
KEYS = "/etc/ssh/grappe-tunnel.keys"
# Seconds; a tunnel with a cut link frees its ports within three of these.
ALIVE_SECONDS = 5
LEAVE_SECONDS = 10
TEXT = """\
# Made by Grappe: a user that holds tunnels open, and can do nothing else.
Match User {user}
    AuthenticationMethods publickey
    AuthorizedKeysFile {keys}
    AllowTcpForwarding remote
    GatewayPorts clientspecified
    PermitOpen none
    PermitTTY no
    X11Forwarding no
    AllowAgentForwarding no
    ForceCommand /bin/false
    ClientAliveInterval {alive}
    ClientAliveCountMax 3
"""


class RelayTarget(Target):
    """The grants of one relay."""

    name = "relay"

    def paths(self) -> List[str]:
        """Return the two files."""
        return [DROP_IN, KEYS]

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the files with these grants."""
        del current
        if not fragments:
            return {DROP_IN: File(None), KEYS: File(None)}
        lines = [fragment["parts"]["line"] + "\n" for fragment in fragments]
        text = TEXT.format(user=self.shared_sections["user"], keys=KEYS, alive=ALIVE_SECONDS)
        return {DROP_IN: File(text, 0o644), KEYS: File("".join(lines), 0o644)}

    def validate(self, files: Files, staged: Dict[str, str]) -> None:
        """Have sshd check the staged file."""
        if files[DROP_IN].content is not None:
            self.system.must(["sshd", "-t", "-f", staged[DROP_IN]])

    def activate(self, files: Files) -> None:
        """Create the user if missing, and reload sshd; open connections stay."""
        if files[DROP_IN].content is None:
            self.deactivate()
            return
        user = self.shared_sections["user"]
        if self.system.run(["id", "-u", user]).status != 0:
            self.system.must(
                ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir",
                 "/nonexistent", "--shell", "/usr/sbin/nologin", user]
            )  # fmt: skip
        self._reload()

    def verify(self, files: Files) -> str:
        """Check sshd's effective settings for the user."""
        if files[DROP_IN].content is None:
            return ""
        user = self.shared_sections["user"]
        if self.system.run(["id", "-u", user]).status != 0:
            return f"the user {user} is missing"
        who = f"user={user},host=relay,addr=192.0.2.1"
        told = self.system.must(["sshd", "-T", "-C", who]).out.lower().splitlines()
        for line in (f"authorizedkeysfile {KEYS}", "gatewayports clientspecified"):
            if line not in told:
                return f"sshd does not read {DROP_IN}: its configuration lacks `{line}`"
        return ""

    def deactivate(self) -> None:
        """Reload sshd without the user, then remove the user."""
        self._reload()
        user = self.shared_sections["user"]
        if self.system.run(["id", "-u", user]).status == 0:
            # The user's tunnels end too; userdel fails while one is still ending.
            deadline = time.monotonic() + LEAVE_SECONDS
            while True:
                self.system.run(["pkill", "-KILL", "-u", user])
                if self.system.run(["userdel", user]).status == 0:
                    return
                if time.monotonic() > deadline:
                    self.system.must(["userdel", user])
                    return
                time.sleep(0.1)

    def _reload(self) -> None:
        for unit in ("ssh", "sshd"):
            if self.system.run(["systemctl", "reload", unit]).status == 0:
                return
        raise RefusedError("sshd could not be reloaded", do="systemctl status ssh")
