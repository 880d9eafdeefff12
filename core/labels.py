"""A label: the form of a person's name in stack names, domains and logins."""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode does not decompose into a letter and an accent.
_LETTERS = {
    "\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0111": "d", "\u00f0": "d",
    "\u00fe": "th", "\u0142": "l", "\u0131": "i", "\u2019": "'",
}  # fmt: skip
# LXD projects and stacks have the label in their names, after a prefix.
MAX_LABEL = 40


def unaccented(text: str) -> str:
    """Return a text without accents and case."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def label(name: str) -> str:
    """Return a name as letters, digits and dashes: Adèle -> adele, D'Artagnan -> d-artagnan.

    Returns:
        The label; empty if no letter of a to z is left.
    """
    folded = "".join(_LETTERS.get(letter, letter) for letter in name.casefold())
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    dashed = re.sub("[^a-z0-9]+", "-", plain).strip("-").lstrip("0123456789-")
    return dashed[:MAX_LABEL].rstrip("-")
