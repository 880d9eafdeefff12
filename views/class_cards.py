"""The cards of a class: a printable page for each student, and the same facts for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from core import templates
from stacks.spec import LabSpec
from views import card, language

HEADS = ("student", "name", "server", "domain", "host", "port", "user", "password")


def student(
    lab: LabSpec,
    cards: Sequence[Mapping[str, Any]],
    *,
    name: str,
    password: str,
    locale: str = language.ENGLISH,
) -> dict[str, Any]:
    """Return the facts for a student's page.

    Args:
        lab: The lab.
        cards: The stack's output, each with `fingerprints`.
        name: The student's name, as people write it.
        password: The administrator's; empty without a post-installation.
        locale: The language, where the lab sets none.
    """
    spoken = lab.language or locale
    catalog = language.catalog(spoken)
    user = cards[0]["ssh"]["user"] if lab.post_install or lab.keys else card.ITS_USER
    return {
        "name": name,
        "label": lab.student,
        "number": lab.number,
        "language": spoken,
        # The table is for programs, whatever the language of the page.
        "user": str(user),
        "shown_user": language.shown(user, catalog),
        "password": password,
        "cards": list(cards),
        "hosts": card.hosts_lines(cards),
        "outside": [line for line in card.from_outside(lab, cards, catalog) if line],
    }


def page(name: str, students: Sequence[Mapping[str, Any]]) -> str:
    """Return the pages of a class as HTML: one sheet of A4 each, in the student's language."""
    spoken = {each["language"] for each in students}
    return templates.render(
        __file__, "class_cards.html.j2", title=name, students=students,
        gettexts={each: language.catalog(each).gettext for each in spoken},
    )  # fmt: skip


def table(students: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a server, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    for each in students:
        for server in each["cards"]:
            ssh = server["ssh"]
            writer.writerow(
                [each["label"], _no_formula(each["name"]), server["name"], server["domain"],
                 ssh["host"], ssh["port"], each["user"], each["password"]]
            )  # fmt: skip
    return text.getvalue()


def _no_formula(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
