"""The forms of values in LXD's options: sizes, booleans, whole numbers, one of some; pure."""

from __future__ import annotations

import re
from collections.abc import Callable

# LXD's units: of 1000 and of 1024.
UNITS = {
    "": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
# LXD uses signed 64-bit integers.
MOST = 2**63 - 1
_SIZE = re.compile(r"([0-9]+)([A-Za-z]*)")
# Sizes as people write them: 2G, 300 Mo, 5gb.
_MEANT = re.compile(r"([0-9]+)\s*([KkMmGgTt])\s*(?:o|b|io|ib|oct(?:et)?s?|bytes?)?", re.IGNORECASE)
TRUE = {"true", "1", "yes", "on"}
_BOOLEANS = {*TRUE, "false", "0", "no", "off"}
Judge = Callable[[str], str]


def size(text: str) -> int | None:
    """Return the bytes of a size in LXD's notation; None for any other text."""
    match = _SIZE.fullmatch(text)
    if not match or match.group(2) not in UNITS:
        return None
    return int(match.group(1)) * UNITS[match.group(2)]


def problem_of_size(text: str) -> str:
    """Return what is wrong with a size, with a suggestion; or nothing."""
    if bytes_ := size(text):
        return "" if bytes_ <= MOST else "is too large."
    meant = _MEANT.fullmatch(text.strip())
    if not meant:
        return "is not a size, such as 512MiB or 5GiB."
    if not int(meant.group(1)):
        return "is not a size above 0. 512MiB, or 5GiB."
    number, unit = meant.group(1), meant.group(2).upper().replace("K", "k")
    binary = unit.upper() + "iB"
    return f'is not a size as LXD writes it: "{number}{binary}", or "{number}{unit}B"?'


def boolean(text: str) -> str:
    """Return what is wrong with a boolean of LXD's; or nothing."""
    return "" if text.lower() in _BOOLEANS else "is not true or false."


def whole(text: str) -> str:
    """Return what is wrong with a whole number; or nothing."""
    if not re.fullmatch(r"-?[0-9]+", text):
        return "is not a whole number."
    return "" if abs(int(text)) <= MOST else "is too large."


def matching(pattern: str, problem: str) -> Judge:
    """Return a judge of a text that must match a pattern as a whole."""
    return lambda text: "" if re.fullmatch(pattern, text) else problem


def one_of(*words: str) -> Judge:
    """Return a judge of a text that must be one of some."""
    return lambda text: "" if text in words else f"is not one of {', '.join(words)}."
