"""Ownership marks: which lab an object belongs to."""

from __future__ import annotations

import pytest

from remote import identity


@pytest.mark.parametrize(
    ("held", "ours"),
    [
        ({"owner": "grappe/alice", "lab": "alicealice01"}, True),
        ({"owner": "grappe/bob", "lab": "alicealice01"}, True),
        ({"owner": "grappe/alice", "lab": ""}, True),
        ({"owner": "grappe/alice"}, True),
        ({"owner": "grappe/alice", "lab": "another00001"}, False),
        ({"owner": "grappe/bob", "lab": ""}, False),
        ({"owner": "", "lab": ""}, False),
        ({}, False),
    ],
)
def test_ownership_follows_the_labs_id(held: dict[str, str], ours: bool) -> None:
    """By its id; a mark without one is its owner's."""
    assert ours is identity.belongs(held, "grappe/alice", "alicealice01")


@pytest.mark.parametrize(
    ("held", "ours"),
    [({"owner": "grappe/alice", "lab": ""}, True), ({"owner": "grappe/alice", "lab": "x"}, False),
     ({"owner": "", "lab": ""}, False)],
)  # fmt: skip
def test_lab_without_an_id_owns_what_has_none(held: dict[str, str], ours: bool) -> None:
    """And only its owner's."""
    assert ours is identity.belongs(held, "grappe/alice", "")


def test_owner_and_way_out_are_named() -> None:
    """The remedy has the id if it may be the same lab."""
    held = {"owner": "grappe/alice", "lab": "another00001"}
    assert "called grappe/alice too, with the id another00001" in identity.whose(
        held, "grappe/alice"
    )
    assert "grappe:id: another00001" in identity.way_out(held, "grappe/alice")
    assert "it belongs to grappe/alice" == identity.whose(held, "grappe/bob")
    assert "it was not made by Grappe" == identity.whose({})
    assert "choose another name or number" == identity.way_out(held, "grappe/bob")
