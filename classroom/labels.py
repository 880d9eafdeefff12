"""A student's label: the form of a person's name in stack names, domains and logins. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from core import validators

# Letters that Unicode does not decompose into a letter and an accent.
_LETTERS = {
    "\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0111": "d", "\u00f0": "d",
    "\u00fe": "th", "\u0142": "l", "\u0131": "i", "\u2019": "'",
}  # fmt: skip
# LXD projects and stacks have the label in their names, after a prefix.
MAX_LABEL = 40
# The label of a name that has no letter for one.
NAMELESS = "student"


def label(name: str) -> str:
    """Return a name as letters, digits and dashes: Adèle -> adele, D'Artagnan -> d-artagnan.

    Returns:
        The label; empty if no letter of a to z is left.

    """
    folded = "".join(_LETTERS.get(letter, letter) for letter in name.casefold())
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    dashed = re.sub("[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-")
    return dashed[:MAX_LABEL].rstrip("-")


def unique(names: Sequence[tuple[str, str]], taken: Collection[str]) -> list[str]:
    """Return a label for each name, all of them different and none of the taken ones.

    Args:
        names: First and last name of each; the last name may be empty.
        taken: Labels of others.

    Returns:
        The first name if it is unique, else first and last name, else with a number; of a name
        without a letter of a to z, `student` with a number.

    """
    firsts = [label(first) or label(last) for first, last in names]
    labels: list[str] = []
    used = set(taken)
    for (first, last), short in zip(names, firsts, strict=True):
        # A name without any letter of a to z, such as one in Chinese.
        full = label(f"{first} {last}") or NAMELESS
        candidates = [short if firsts.count(short) == 1 else full, full]
        candidates += [f"{full}-{number}" for number in range(2, len(names) + len(used) + 3)]
        chosen = next(
            (each for each in candidates if each and each not in used and _is_one(each)), ""
        )
        labels.append(chosen)
        used.add(chosen)
    return labels


def _is_one(text: str) -> bool:
    return not validators.problem_of_name(text)
