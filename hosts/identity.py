"""A machine's identity: our user there, the machine-id, and its address."""

from __future__ import annotations

import dataclasses

from core import errors


@dataclasses.dataclass(frozen=True)
class Identity:
    """Identifies a machine, as one round trip reads it.

    Attributes:
        uid: The user id of the login.
        machine_id: The content of /etc/machine-id.
        address: The IPv4 address at which ssh reached the machine; else its first global one.
        boot_id: The kernel's random id of this boot; empty if it does not say.
    """

    uid: int
    machine_id: str
    address: str
    boot_id: str = ""


# Prints a line each: user id, machine-id, both ends of the ssh login, the boot's id, and the
# machine's first global IPv4 address.
IDENTIFY = (
    "id -u; cat /etc/machine-id 2>/dev/null || hostname; "
    'echo "${SSH_CONNECTION:-}"; cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo; '
    "ip -4 -o address show scope global 2>/dev/null | head -n 1"
)


def read_identity(text: str) -> Identity:
    """Parse what IDENTIFY printed.

    Raises:
        errors.HostError: It printed something else.
    """
    uid, machine_id, connection, boot_id, own, *_rest = [*text.splitlines(), "", "", "", "", ""]
    words = connection.split()
    # SSH_CONNECTION: client address, client port, server address, server port.
    address = words[2] if len(words) == 4 and ":" not in words[2] else ""  # noqa: PLR2004
    if not address and "inet" in own.split():
        fields = own.split()
        address = fields[fields.index("inet") + 1].split("/")[0]
    if not uid.isdigit():
        raise errors.HostError(
            "the login does not run commands",
            seen=f"`id -u` printed: {uid}" if uid else "it printed nothing",
            do="`ssh NAME id -u` must print a number",
        )
    return Identity(int(uid), machine_id.strip(), address, boot_id.strip())
