"""The SSH settings of a host, for a program that does not use OpenSSH's client.

OpenSSH's own tools read the user's ssh_config, keys and known_hosts, so that they count there too.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

from core import errors
from hosts import command, url

# Grappe pins the first of these host keys that known_hosts has.
KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@dataclasses.dataclass(frozen=True)
class Connection:
    """An SSH connection, spelt out.

    Attributes:
        host: The address or name to dial.
        port: The port of its sshd.
        user: The login.
        host_key: Its host key, type and key; no other is trusted.
        private_key: A private key without a passphrase; empty where an agent has it.
        agent: The socket of an ssh agent; empty where there is none.
    """

    host: str
    port: int
    user: str
    host_key: str
    private_key: str = dataclasses.field(repr=False)
    agent: str


def resolve(host_url: url.HostUrl) -> Connection:
    """Return how `ssh` would reach a host.

    Raises:
        errors.CommandError: ssh is not installed, or hangs.
        errors.HostError: Its host key is unknown, no key logs in, or it is behind a jump host.
    """
    config = os.environ.get("GRAPPE_SSH_CONFIG", "")
    own = ["-F", config] if pathlib.Path(config).is_file() else []
    done = command.execute(["ssh", *own, "-G", *host_url.words])
    if not done.ok:
        raise errors.HostError(f"ssh does not know {host_url}", seen=done.tail())
    settings = parse(done.stdout)
    for key in ("proxycommand", "proxyjump"):
        if settings.get(key, ["none"])[0] != "none":
            raise errors.HostError(
                f"{host_url} is behind another host, which pulumi-command cannot go through",
                seen=f"{key} {settings[key][0]}",
                do="run this on a machine that reaches it directly",
            )
    name, port = settings["hostname"][0], int(settings["port"][0])
    alias = settings.get("hostkeyalias", [""])[0] or (name if port == 22 else f"[{name}]:{port}")  # noqa: PLR2004
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    private = _private_key(settings.get("identityfile", []))
    if not private and not agent:
        raise errors.HostError(
            f"no key without a passphrase opens {host_url}, and there is no agent",
            do='eval "$(ssh-agent)" && ssh-add',
        )
    files = " ".join(
        settings.get("userknownhostsfile", []) + settings.get("globalknownhostsfile", [])
    )
    return Connection(
        name, port, settings["user"][0], _host_key(host_url, alias, files.split()), private, agent
    )


def parse(text: str) -> dict[str, list[str]]:
    """Parse the output of `ssh -G`: by keyword, its values in order."""
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, []).append(value)
    return settings


def _host_key(host_url: url.HostUrl, alias: str, files: list[str]) -> str:
    keys: dict[str, str] = {}
    for file in files:
        path = pathlib.Path(file).expanduser()
        if path.is_file():
            done = command.execute(["ssh-keygen", "-F", alias, "-f", str(path)])
            for line in done.stdout.splitlines():
                words = line.split()
                if not line.startswith(("#", "@")) and len(words) >= 3:  # noqa: PLR2004
                    keys.setdefault(words[1], f"{words[1]} {words[2]}")
    for kind in KEYS:
        if kind in keys:
            return keys[kind]
    raise errors.HostError(
        f"the host key of {host_url} is not in known_hosts",
        do=f"compare its fingerprint with the host's own: ssh {host_url.name}",
    )


def _private_key(files: list[str]) -> str:
    for file in files:
        path = pathlib.Path(file).expanduser()
        opens = ["ssh-keygen", "-y", "-P", "", "-f", str(path)]
        if path.is_file() and command.execute(opens).ok:
            return path.read_text()
    return ""
