"""A student's label: what a person's name becomes in stack names, domains and logins. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from core import validators

# Letters that are no others with an accent.
_LETTERS = {
    "\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0111": "d", "\u00f0": "d",
    "\u00fe": "th", "\u0142": "l", "\u0131": "i",
}  # fmt: skip
# A project of LXD's and a stack have the label in their names, with more before it.
MAX_LABEL = 40


def label(name: str) -> str:
    """Return a name as letters, digits and dashes: Adèle -> adele, D'Artagnan -> d-artagnan.

    Returns:
        An empty text where no letter of a to z is left.

    """
    folded = "".join(_LETTERS.get(letter, letter) for letter in name.casefold())
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    dashed = re.sub("[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-")
    return dashed[:MAX_LABEL].rstrip("-")


def unique(names: Sequence[tuple[str, str]], taken: Collection[str]) -> list[str]:
    """Return a label for each name, none of them twice and none of the taken ones.

    Args:
        names: First and last name of each; the last name may be empty.
        taken: Labels that others have.

    Returns:
        The first name where it is alone among them, else first and last name, else with a number.

    """
    firsts = [label(first) for first, _last in names]
    found: list[str] = []
    used = set(taken)
    for (first, last), short in zip(names, firsts, strict=True):
        full = label(f"{first} {last}")
        candidates = [short if firsts.count(short) == 1 else full, full]
        candidates += [f"{full}-{number}" for number in range(2, len(names) + len(used) + 3)]
        chosen = next(
            (each for each in candidates if each and each not in used and _is_one(each)), ""
        )
        found.append(chosen)
        used.add(chosen)
    return found


def _is_one(text: str) -> bool:
    return not validators.problem_of_name(text)
