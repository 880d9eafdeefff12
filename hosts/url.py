"""The URL of a host, without credentials."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_EXAMPLES = "local:, ssh://host, ssh://user@host:2222 or netns:NAME"


@dataclasses.dataclass(frozen=True)
class HostUrl:
    """A host's address.

    Attributes:
        scheme: `local`, `ssh` or `netns` (a network namespace of this machine).
        name: The host name, an alias of the user's ssh_config, or the namespace.
        user: The login, or empty for what ssh_config says.
        port: The TCP port of sshd, or 0 for what ssh_config says.
    """

    scheme: str
    name: str = ""
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == "local":
            return "local:"
        if self.scheme == "netns":
            return f"netns:{self.name}"
        user = f"{self.user}@" if self.user else ""
        name = f"[{self.name}]" if ":" in self.name else self.name
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{name}{port}"

    @property
    def words(self) -> list[str]:
        """What `ssh` takes for it: `-p`, the port, and `user@host`."""
        target = f"{self.user}@{self.name}" if self.user else self.name
        return [*(["-p", str(self.port)] if self.port else []), target]

    @property
    def login(self) -> str:
        """What `ssh` and `ssh-copy-id` take for it, in a message: `-p 2222 user@host`."""
        return " ".join(self.words)

    @property
    def known_as(self) -> str:
        """Its name in known_hosts."""
        return f"'[{self.name}]:{self.port}'" if self.port not in (0, 22) else self.name


def parse(text: str) -> HostUrl:
    """Parse a host URL; raise ValueError that says what would be right."""
    if text == "local:":
        return HostUrl("local")
    scheme, _, rest = text.partition(":")
    if scheme == "netns" and _NAME.fullmatch(rest):
        return HostUrl("netns", rest)
    if scheme == "ssh" and rest.startswith("//"):
        return _parse_ssh(text)
    message = f"is not the URL of a host: {_EXAMPLES}"
    raise ValueError(message)


def problem(text: str, extra: str = "") -> str:
    """Return what is wrong with a host URL, or nothing; `extra` names other valid forms."""
    if not text and extra:
        return f"is empty. Name the machine: {extra}, local:, or ssh://[user@]host[:port]."
    if not text:
        return "is empty. Where is the lab host? local:, or ssh://[user@]host[:port]."
    try:
        parse(text)
    except ValueError as error:
        return f"{error}{f', or {extra}' if extra else ''}."
    return ""


def without_password(text: str) -> str:
    """Hide any password in the text of a host URL."""
    return re.sub(r"(//[^/@]*?):[^@]*@", r"\1:***@", text)


def _parse_ssh(text: str) -> HostUrl:
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port or 0
    except ValueError as error:
        message = f"is not a URL ({error}): {_EXAMPLES}"
        raise ValueError(message) from error
    if parts.password is not None:
        message = "has a password in it; keep credentials in the ssh agent or ssh_config"
        raise ValueError(message)
    if parts.path.strip("/") or parts.query or parts.fragment:
        message = f"has more than user, host and port: {_EXAMPLES}"
        raise ValueError(message)
    # Capitals stay: OpenSSH's host patterns tell them apart, and urlsplit's `hostname` drops them.
    written = re.fullmatch(r"(?:.*@)?([^@:\[\]]+)(?::\d*)?", parts.netloc)
    name, user = written.group(1) if written else parts.hostname or "", parts.username or ""
    if not (_HOST.fullmatch(name) or re.fullmatch(r"[0-9a-f:]{2,45}", name)):
        message = f"has no valid host name: {_EXAMPLES}"
        raise ValueError(message)
    if user and not _NAME.fullmatch(user):
        message = f"has an invalid user name: {_EXAMPLES}"
        raise ValueError(message)
    return HostUrl("ssh", name, user, port)
