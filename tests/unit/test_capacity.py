"""The room for servers on a lab host, estimated."""

from __future__ import annotations

import dataclasses

import pytest

from checks import capacity

ROOM = capacity.Capacity(memory=10 * 2**30, disk=50 * 10**9, inotify=128)


@pytest.mark.parametrize(
    ("changes", "wanted", "expected", "words"),
    [
        ({}, 4, 5, []),
        ({}, 6, 5, ["128 inotify instances, and 6 servers take 150"]),
        ({"inotify": 10**6}, 51, 50, ["memory for 50 more servers, and 51 are wanted"]),
        ({"inotify": 10**6, "servers": 2, "used": 2 * 2**30}, 10, 10, []),
        ({"inotify": 10**6, "disk": capacity.RESERVE + 10**8}, 3, 2,
         ["disk for 2 more servers, and 3 are wanted"]),
        ({"inotify": 10**6, "disk": 10**8}, 1, 0, ["disk for 0 more servers, and 1 are wanted"]),
        ({"inotify": 10**6, "memory": 0, "disk": 0}, 1, 0, ["memory for 0", "disk for 0"]),
        ({"inotify": 50, "servers": 9}, 0, 0, ["9 servers take 225"]),
    ],
)  # fmt: skip
def test_room_for_more_servers_is_estimated(
    changes: dict[str, int], wanted: int, expected: int, words: list[str]
) -> None:
    """By what the host's servers take; without any, by what a real server was measured to take."""
    made = dataclasses.replace(ROOM, **changes)
    assert expected == capacity.fits(made)
    found = [what for what, _mends in capacity.findings(made, wanted)]
    assert len(words) == len(found)
    for word, what in zip(words, found, strict=True):
        assert word in what
