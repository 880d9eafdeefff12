"""Validate names, domains, ports and addresses; pure.

Each function returns what is wrong with a value, or an empty text. A message reads as
`VALUE TEXT`: "my lab" has a space.
"""

from __future__ import annotations

import base64
import ipaddress
import re

from core import labels

# RFC 1123 host labels; LXD takes the same for instances.
_LABEL = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LABEL_ANY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# iptables quotes any other character, and Grappe compares the loaded rules as text.
_COMMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# LXD's aliases, storage pools and members of a cluster.
_DOTTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_LABEL = 63
MAX_DOMAIN = 253
MAX_PORT = 65535
# YunoHost's own bounds.
MIN_PASSWORD, MAX_PASSWORD = 8, 126

# What OpenSSH's public keys begin with.
_PUBLIC_KEY = (
    r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|"
    r"sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)"
)


def problem_of_name(value: str) -> str:
    """Check the name of a student, server or instance."""
    if _LABEL.fullmatch(value):
        return ""
    rule = f"Letters, digits and dashes, at most {MAX_LABEL}, starting with a letter"
    if len(value) > MAX_LABEL:
        return f"has {len(value)} characters. {rule}."
    proposal = labels.label(value)
    hint = f': "{proposal}"?' if proposal else "."
    if " " in value:
        return f"has a space. {rule}{hint}"
    return f"is not a name. {rule}{hint}"


def problem_of_password(value: str) -> str:
    """Check a YunoHost password; the text does not contain it."""
    if MIN_PASSWORD <= len(value) <= MAX_PASSWORD and value.isprintable():
        return ""
    return f"is not a password. {MIN_PASSWORD} to {MAX_PASSWORD} printable characters."


def problem_of_stack(value: str) -> str:
    """Return what is wrong with a stack's name; the pattern is the engine's own."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", value):
        return ""
    return "is not the name of a stack: 1 to 100 letters, digits, dots, dashes, underscores"


def problem_of_domain(value: str) -> str:
    """Check a domain: at least two labels that DNS and certificates accept."""
    labels = value.split(".")
    wrong = len(value) > MAX_DOMAIN or len(labels) < 2  # noqa: PLR2004
    if wrong or not all(_LABEL_ANY.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return "is not a domain. Labels of letters, digits and dashes with dots between: lab.test"
    return ""


def problem_of_port(value: int) -> str:
    """Check a TCP or UDP port."""
    return "" if 1 <= value <= MAX_PORT else f"is not a port. 1 to {MAX_PORT}."


def problem_of_ipv4(value: str) -> str:
    """Check an IPv4 address of one machine."""
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        return "is not an IPv4 address, such as 192.168.8.10."
    if (
        address.is_unspecified
        or address.is_multicast
        or address == ipaddress.IPv4Address(2**32 - 1)
    ):
        return "is not the address of one machine."
    return ""


def problem_of_comment(value: str) -> str:
    """Check a comment for the host's files."""
    if _COMMENT.fullmatch(value):
        return ""
    return f"is not a comment. Letters, digits, _ and -, at most {MAX_LABEL}."


def problem_of_interface(value: str) -> str:
    """Check the name of a network interface (IFNAMSIZ: 15 characters)."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", value):
        return ""
    return "is not the name of an interface. At most 15 letters, digits, _ . and -."


# `yunohost tools postinstall` refuses the aliases of the administrators' mail, and the users that
# Debian and YunoHost's own packages make. For a user with the name of a system group it removes the
# group, and the server is broken.
RESERVED_LOGINS = frozenset(
    """
    admin admins root webmaster postmaster abuse
    _apt adm all_users amavis avahi backup bin bind clamav daemon debian-spamd dnsmasq dovecot
    dovenull ftp games gnats irc list lp lxd mail man mdns messagebus metronome mysql nginx news
    nobody nslcd opendkim openldap operator polkitd postfix postgres postsrsd proxy redis rspamd
    sshd sync sys syslog systemd-journal systemd-network systemd-resolve systemd-timesync tss
    unscd uucp uuidd visitors vmail www-data ynh-portal ynh-vpnclient yunohost yunohost-portal
    audio cdrom crontab dialout dip disk fax floppy input kmem kvm netdev nogroup ntpsec plugdev
    postdrop render sasl sftp.app sftp.main sgx shadow src ssh ssh.app ssh.main staff sudo tape tty
    users utmp video voice
    """.split()  # noqa: SIM905 - read as a text
)


def problem_of_public_key(value: str) -> str:
    """Check a line of authorized_keys without options."""
    if "PRIVATE KEY" in value:
        return "is a private key: keep it secret, and set the line of its .pub file."
    if not re.fullmatch(rf"{_PUBLIC_KEY} [A-Za-z0-9+/]{{40,}}={{0,3}}( [^\x00-\x1f]*)?", value):
        return "is not a public SSH key. One line, such as ssh-ed25519 AAAA... of a .pub file."
    if re.search(rf" {_PUBLIC_KEY} ", value):
        return "has another key behind it, which would be its comment. One key each."
    if not _is_whole_key(*value.split(" ", 2)[:2]):
        return "is cut off, or changed: copy the whole line of the .pub file again."
    return ""


def _is_whole_key(kind: str, body: str) -> bool:
    """Whether the body of a public key has whole fields, the first of them its kind (RFC 4253)."""
    try:
        rest = base64.b64decode(body, validate=True)
    except ValueError:
        return False
    fields = []
    while rest:
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size:
            return False
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return len(fields) > 1 and fields[0] == kind.encode()


def show_public_key(value: str) -> str:
    """Return the beginning of what is meant to be a public key; it may be a private one."""
    return value if len(value) <= 24 else f"{value[:24]}..."  # noqa: PLR2004


def problem_of_login(value: str) -> str:
    """Check a login that both YunoHost and Debian must accept.

    YunoHost accepts small letters, digits, _ and dots; Debian's names have at most 32 characters.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_.]{0,31}", value):
        return "is not the name of a user. Small letters, digits, _ and ., at most 32."
    return ""


def problem_of_new_login(value: str) -> str:
    """Check a login that YunoHost has not yet created."""
    if problem := problem_of_login(value):
        return problem
    if value in RESERVED_LOGINS:
        return f"is a name that YunoHost keeps for itself or the system. {value}_user?"
    return ""


def login_of(name: str) -> str:
    """Derive a login that YunoHost accepts from a student's name."""
    plain = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")[:32].strip("_") or "student"
    plain = plain if plain[0].isalpha() else f"u_{plain}"[:32]
    return f"{plain[:27]}_user" if plain in RESERVED_LOGINS else plain


def problem_of_path(value: str) -> str:
    """Check an absolute path in a container."""
    if value.startswith("/") and value.isprintable() and ".." not in value.split("/"):
        return ""
    return "is not an absolute path, such as /srv/data."


def problem_of_lab_id(value: str) -> str:
    """Check the id of a lab; labs that are older than ids have none."""
    if re.fullmatch(r"([a-z0-9]{8,32})?", value):
        return ""
    return "is not the id of a lab. 8 to 32 small letters and digits; left out, `lab up` makes one."


def problem_of_member(value: str) -> str:
    """Check the name that LXD gives a storage pool or a member of a cluster."""
    if _DOTTED.fullmatch(value):
        return ""
    if " " in value:
        return "has a space. Letters, digits, . _ and -, at most 63."
    return "is not a name of LXD's. Letters, digits, . _ and -, at most 63."


def problem_of_alias(value: str) -> str:
    """Check the alias of an image."""
    if _DOTTED.fullmatch(value):
        return ""
    return "is not an alias. Letters, digits, . _ and -, at most 63, as yunohost-12."
