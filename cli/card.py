"""`./lab card`: a student's commands and links."""

from __future__ import annotations

import contextlib
from typing import Any

from cli import environment, labs, options, progress
from hosts import connections
from providers.lxd import client, daemon, files
from providers.lxd.postinstall import inside as postinstall
from stacks.spec import LabSpec
from views import card

KEYS = ("ed25519", "ecdsa", "rsa")


def run_options(parser: options.Parser) -> None:
    """Add the options of `card`."""
    options.stack(parser)
    options.as_json(parser)


def run(name: str, *, as_json: bool) -> int:
    """Print the card of a student.

    Raises:
        errors.BadInputError: The lab is down, or its stack file is invalid.
        errors.HostError: The lab host does not answer.
    """
    lab = labs.load_up(name)
    cards = with_fingerprints(lab.spec, lab.cards)
    text = card.render(lab.spec, cards, lab.stack, environment.language())
    progress.answer(card.as_json(cards), text, as_json=as_json)
    return 0


def with_fingerprints(lab: LabSpec, cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add `fingerprints` (of the host keys) and `installed`, read in the containers.

    LXD reads the containers' files, so that nobody on the network can forge fingerprints.
    """
    lxd = client.on(connections.connect(lab.host))
    return [
        {
            **item,
            "fingerprints": _fingerprints(lxd, lab, item["name"]),
            "installed": postinstall.is_installed(lxd, lab.project, item["name"]),
        }
        for item in cards
    ]


def _fingerprints(lxd: daemon.Daemon, lab: LabSpec, name: str) -> list[str]:
    keys = [
        files.read(lxd, lab.project, name, f"/etc/ssh/ssh_host_{kind}_key.pub") for kind in KEYS
    ]
    fingerprints = []
    for key in filter(None, keys):
        with contextlib.suppress(ValueError):
            fingerprints.append(card.fingerprint(key.decode()))
    return fingerprints
