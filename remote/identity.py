"""Ownership: the marks of a thing, and whether they are a lab's. Pure; runs on hosts too.

A random id identifies a lab. A thing that is older than ids carries the
owner's name alone, and belongs to the owner until its lab marks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys in LXD's config, on the thing itself; an image's properties lack the `user.`.
OWNER = "user.grappe.owner"
LAB = "user.grappe.lab"
INCARNATION = "user.grappe.incarnation"
# Marks by the spec's field.
MARKS = {"owner": OWNER, "lab": LAB, "incarnation": INCARNATION}


def belongs(held: Mapping[str, Any], owner: str, lab: str) -> bool:
    """Return whether a thing with these marks belongs to a lab.

    Args:
        held: `owner` and `lab`, as the thing carries them; empty or missing where it does not.
        owner: The lab's owner, `project/stack`.
        lab: The lab's id; empty where it has none.
    """
    holder, theirs = held.get("owner") or "", held.get("lab") or ""
    if theirs:
        return bool(theirs == lab)
    return bool(holder) and holder == owner


def stack_of(owner: str) -> str:
    """Return the name of an owner's stack."""
    return owner.rpartition("/")[2]


def whose(held: Mapping[str, Any], owner: str = "") -> str:
    """Return in words who owns a thing; `owner` is the caller's."""
    holder, lab = held.get("owner") or "", held.get("lab") or ""
    if not holder:
        return "it was not made by Grappe"
    if holder == owner and lab:
        return f"it belongs to another lab that is called {holder} too, with the id {lab}"
    return f"it belongs to {holder}"


def way_out(held: Mapping[str, Any], owner: str = "") -> str:
    """Return the remedy for a caller who needs another lab's thing."""
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
