"""Whose a thing is: the marks it carries, and whether they are a lab's. Pure; runs on hosts too.

A lab is known by its random id. What was made before labs had ids carries the
owner's name alone, and is the owner's until its lab marks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# In LXD's config, on the thing itself; the properties of an image have no `user.`.
OWNER = "user.grappe.owner"
LAB = "user.grappe.lab"
INCARNATION = "user.grappe.incarnation"
# Marks by the field of a spec that they hold.
MARKS = {"owner": OWNER, "lab": LAB, "incarnation": INCARNATION}


def belongs(held: Mapping[str, Any], owner: str, lab: str) -> bool:
    """Return whether what carries these marks is a lab's.

    Args:
        held: `owner` and `lab`, as the thing carries them; empty or missing where it does not.
        owner: The lab's owner, `project/stack`.
        lab: The lab's id; empty where it has none.

    """
    holder, theirs = held.get("owner") or "", held.get("lab") or ""
    if theirs:
        return bool(theirs == lab)
    return bool(holder) and holder == owner


def whose(held: Mapping[str, Any], owner: str = "") -> str:
    """Return in words whose a thing is; `owner` is who asks."""
    holder, lab = held.get("owner") or "", held.get("lab") or ""
    if not holder:
        return "it was not made by Grappe"
    if holder == owner and lab:
        return f"it belongs to another lab that is called {holder} too, with the id {lab}"
    return f"it belongs to {holder}"


def way_out(held: Mapping[str, Any], owner: str = "") -> str:
    """Return what who asks for a stranger's thing can do."""
    lab = held.get("lab") or ""
    if lab and held.get("owner") == owner:
        return (
            "another folder or state has a lab of this name: rename yours (./lab rename); or, if "
            f"it is this very lab, write its id into the stack file: grappe:id: {lab}"
        )
    return "choose another name or number"


def held_in_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the marks in LXD's config, by field."""
    return {field: config.get(mark, "") for field, mark in MARKS.items()}
