"""The card: a student's commands and links, and the fingerprints to compare at first."""

from __future__ import annotations

import base64
import gettext
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hosts import url
from stacks import ways
from stacks.spec import LabSpec
from views import language
from views.language import Message

# A placeholder for a login that only the student knows.
ITS_USER = Message("YOUR-USER")
NOT_INSTALLED = Message(
    "Before its post-installation a YunoHost has no user; {user} stands for the one that it then\n"
    "creates. Post-install it at once: until then the first visitor of its page may become its\n"
    "administrator:",
    user=ITS_USER,
)
NOT_INSTALLED_KEYS = Message(
    "Post-install YunoHost at once: until then the first visitor of its page may become its\n"
    "administrator. Your key continues to open the server:"
)
BY_HAND = Message("YunoHost is post-installed: log in as the user that it created then.")
PORTLESS = Message(
    "YunoHost's own redirects leave the port out: type whole paths, with the slash at their end.\n"
    "Ports 80 and 443 of the relay avoid that; the README explains how."
)
FIRST_TIME = Message(
    "At the first login ssh asks whether the host key is right: compare it with those above.\n"
    "A rebuilt server has a new host key; remove the old one:"
)
HOSTS_FILE = Message(
    "For a browser, in the hosts file of your own machine\n"
    "(/etc/hosts; on Windows C:\\Windows\\System32\\drivers\\etc\\hosts, as administrator):"
)


def fingerprint(public_key: str) -> str:
    """Return a public key's fingerprint as ssh shows it: `ED25519 SHA256:...`.

    Args:
        public_key: A line of a .pub file: type, key, comment.

    Raises:
        ValueError: The line has another form.
    """
    kind, key, *_comment = public_key.split()
    digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
    shown = base64.b64encode(digest).decode().rstrip("=")
    name = kind.removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper()
    return f"{'ECDSA' if name.startswith('NISTP') else name} SHA256:{shown}"


def hosts_lines(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines for the hosts file of a student's own machine.

    Args:
        cards: The stack's output, each with all `domains` of its server where they are known.
    """
    return [
        "\t".join((card["ssh"]["host"], " ".join(card.get("domains") or [card["domain"]])))
        for card in cards
    ]


def known_hosts_name(card: Mapping[str, Any]) -> str:
    """Return a server's name in known_hosts."""
    return f"[{card['ssh']['host']}]:{card['ssh']['port']}"


def as_json(cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the same facts for a program."""
    return [
        {
            **card,
            "forget_host_key": ["ssh-keygen", "-R", known_hosts_name(card)],
            "hosts_line": line,
        }
        for card, line in zip(cards, hosts_lines(cards), strict=True)
    ]


def render(
    lab: LabSpec, cards: Sequence[Mapping[str, Any]], stack: str, locale: str = language.ENGLISH
) -> str:
    """Return the card.

    Args:
        lab: The lab.
        cards: The stack's output, each with the `fingerprints` of its host keys, and `installed`
            (whether it is post-installed).
        stack: The stack's name.
        locale: The language, where the lab sets none.
    """
    catalog = language.catalog(lab.language or locale)
    _ = catalog.gettext
    student = _("{student}, student {number}").format(student=lab.student, number=lab.number)
    host = _("lab host {host}").format(host=cards[0]["ssh"]["host"])
    lines = [f"{student}{host:>50}"]
    for card in cards:
        ssh = card["ssh"]
        lines.append(f"  {card['name']:<8} {'   '.join(card['urls'])}")
        user = ssh["user"] if lab.post_install or lab.keys else ITS_USER.into(catalog)
        lines.append(f"           ssh -p {ssh['port']} {user}@{ssh['host']}")
        lines += [f"           {shown}" for shown in card["fingerprints"]]
    if lab.post_install:
        asking = f"pulumi config get grappe:password -s {stack}"
        password = _("Password of {user}:").format(user=cards[0]["ssh"]["user"])
        lines += ["", f"{password}  {asking}"]
    elif pages := [
        f"https://{card['domain']}/yunohost/admin" for card in cards if not card.get("installed")
    ]:
        first = (NOT_INSTALLED_KEYS if lab.keys else NOT_INSTALLED).into(catalog)
        lines += ["", first, f"  {'   '.join(pages)}"]
    else:
        lines += ["", BY_HAND.into(catalog)]
    lines += from_outside(lab, cards, catalog)
    lines += ["", FIRST_TIME.into(catalog)]
    lines += [f"  ssh-keygen -R '{known_hosts_name(card)}'" for card in cards]
    lines += ["", HOSTS_FILE.into(catalog)]
    lines += [f"  {line.expandtabs(16)}" for line in hosts_lines(cards)]
    return "\n".join(lines) + "\n"


def from_outside(
    lab: LabSpec, cards: Sequence[Mapping[str, Any]], catalog: gettext.NullTranslations
) -> list[str]:
    """Return the lines about access through the tunnel; nothing without one."""
    if lab.tunnel is None:
        return []
    schemes = [
        (scheme, ways.PORTS[scheme], forward.listen)
        for forward in lab.tunnel.forwards
        for scheme in (ways.HTTP, ways.HTTPS)
        if forward.port == ways.PORTS[scheme] and not forward.server
    ]
    if not schemes:
        return []
    relay = url.parse(lab.tunnel.relay).name
    _ = catalog.gettext
    by = _(
        "From the internet, by {relay}; in the hosts file write its address instead of\n{host}:"
    ).format(relay=relay, host=cards[0]["ssh"]["host"])
    lines = ["", *by.splitlines()]
    for card in cards:
        for scheme, usual, listen in schemes:
            port = "" if listen == usual else f":{listen}"
            # On an unusual port, the server's redirect from http leads nowhere.
            if scheme == "http" and listen != usual:
                continue
            path = "/yunohost/admin/" if scheme == "https" else "/"
            lines.append(f"  {scheme}://{card['domain']}{port}{path}")
    if any(listen != usual for _scheme, usual, listen in schemes):
        lines += PORTLESS.into(catalog).splitlines()
    return lines
