"""The labels of a class's students, all of them different. Pure."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Collection, Sequence

from core.labels import label

# The label of a name that has no letter for one.
NAMELESS = "student"


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
    alike = collections.Counter(firsts)
    labels: list[str] = []
    used = set(taken)
    for (first, last), short in zip(names, firsts, strict=True):
        # A name without any letter of a to z, such as one in Chinese.
        full = label(f"{first} {last}") or NAMELESS
        numbered = (f"{full}-{number}" for number in itertools.count(2))
        candidates = itertools.chain([short if alike[short] == 1 else full, full], numbered)
        chosen = next(each for each in candidates if each and each not in used)
        labels.append(chosen)
        used.add(chosen)
    return labels
