"""The relay's sshd: a user for tunnels, its keys, and their rights. Runs on the relay.

Standard library alone. Both files are Grappe's own: a drop-in of sshd's, and the authorized keys
that it names.
"""

from __future__ import annotations

import fnmatch
import re
import time
from typing import Dict, List

from remote.names import TUNNEL_USER as USER
from remote.system import File, RefusedError
from remote.target import Files, Fragment, Target

DROP_IN = "/etc/ssh/sshd_config.d/grappe-tunnel.conf"
KEYS = "/etc/ssh/grappe-tunnel.keys"
# What the effective settings of the user must contain: the default, and a pattern of good words.
# A block of sshd's configuration before ours may say otherwise.
NEEDS = {
    "AllowTcpForwarding": ("yes", r"^(?:yes|all|remote)$"),
    "AuthenticationMethods": ("any", r"^(?:any|publickey)$"),
    "PermitListen": ("any", r"^(?!none$)"),
    "PubkeyAcceptedAlgorithms": ("ssh-ed25519", r"(?:^|,)ssh-ed25519(?:,|$)"),
}
# Prints what sshd would do for the user.
SETTINGS = ["sshd", "-T", "-C", f"user={USER},host=relay,addr=192.0.2.1"]
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


def refusal(settings: List[str], user: str) -> str:
    """Return why sshd would refuse the tunnels of a user; nothing where it does not.

    Args:
        settings: The lines of `sshd -T` for the user, in lower case.
        user: The user, whose group has the same name.
    """
    if shut := shut_out(settings, user):
        return shut
    listed = _listed(settings)
    if "yes" in listed.get("disableforwarding", []):
        return "sshd forwards nothing: it has DisableForwarding yes. Take that out for this user"
    for name, (default, good) in NEEDS.items():
        words = listed.get(name.lower(), [default])
        if not any(re.search(good, word) for word in words):
            return f"sshd refuses {user}'s tunnels: it has {name} {' '.join(words)} for {user}"
    return ""


def shut_out(settings: List[str], user: str) -> str:
    """Return why sshd lets a user in by no key, whatever our own file says; nothing where it does.

    Args:
        settings: As for `refusal`.
        user: The user.
    """
    listed = _listed(settings)
    for kind in ("users", "groups"):
        allowed, denied = listed.get("allow" + kind, []), listed.get("deny" + kind, [])
        if allowed and not _matches(user, allowed):
            said = f"its Allow{kind.title()} has {' '.join(allowed)}"
            return f"sshd does not let {user} in: {said}. Add {user} there"
        # A pattern with a host may be about other machines than the lab host.
        if _matches(user, [each for each in denied if each.partition("@")[2] in ("", "*")]):
            return f"sshd does not let {user} in: its Deny{kind.title()} has {' '.join(denied)}"
    if "yes" not in listed.get("pubkeyauthentication", ["yes"]):
        return "sshd takes no keys: it has PubkeyAuthentication no"
    return ""


def _listed(settings: List[str]) -> Dict[str, List[str]]:
    listed: Dict[str, List[str]] = {}
    for line in settings:
        key, _space, value = line.partition(" ")
        listed.setdefault(key, []).extend(value.split())
    return listed


def _matches(user: str, patterns: List[str]) -> bool:
    return any(fnmatch.fnmatchcase(user, pattern.partition("@")[0]) for pattern in patterns)


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
        text = TEXT.format(user=USER, keys=KEYS, alive=ALIVE_SECONDS)
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
        if self.system.run(["id", "-u", USER]).status != 0:
            self.system.must(
                ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir",
                 "/nonexistent", "--shell", "/usr/sbin/nologin",
                 # No password, and not locked: without PAM sshd refuses a locked user's key.
                 "--password", "*", USER]
            )  # fmt: skip
        self._reload()

    def verify(self, files: Files) -> str:
        """Check sshd's effective settings for the user."""
        if files[DROP_IN].content is None:
            return ""
        if self.system.run(["id", "-u", USER]).status != 0:
            return f"the user {USER} is missing"
        told = self.system.must(SETTINGS).out.lower().splitlines()
        for line in (f"authorizedkeysfile {KEYS}", "gatewayports clientspecified"):
            if line not in told:
                return (
                    f"sshd does not read {DROP_IN}: its configuration lacks `{line}`. In the first "
                    f"line of sshd_config: Include {DROP_IN.rpartition('/')[0]}/*.conf"
                )
        return refusal(told, USER)

    def deactivate(self) -> None:
        """Reload sshd without the user, then remove the user."""
        self._reload()
        if self.system.run(["id", "-u", USER]).status == 0:
            # The user's tunnels end too; userdel fails while one is still ending.
            deadline = time.monotonic() + LEAVE_SECONDS
            while True:
                self.system.run(["pkill", "-KILL", "-u", USER])
                if self.system.run(["userdel", USER]).status == 0:
                    return
                if time.monotonic() > deadline:
                    self.system.must(["userdel", USER])
                    return
                time.sleep(0.1)

    def _reload(self) -> None:
        for unit in ("ssh", "sshd"):
            if self.system.run(["systemctl", "reload", unit]).status == 0:
                return
        raise RefusedError("sshd could not be reloaded", do="systemctl status ssh")
