"""Connections that live while labs come and go around theirs."""

from __future__ import annotations

import time

from bench.testbed import BYSTANDERS, IMAGE, Testbed
from sandbox.bystander import Bystander

LABS, FIRST = 10, 100


def run(testbed: Testbed, minutes: float) -> dict[str, float]:
    """Bring ten labs up and down, spread over the time, while one client keeps its connections.

    Returns:
        `minutes` that the connections lived, `requests` and `failed` ones, how many `connections`
        it took (two, one by http and one by https, where none was cut), and `labs`.
    """
    testbed.up_bystander()
    seconds, begun = 60 * minutes, time.monotonic()
    with Bystander(testbed.layout, BYSTANDERS, pause=1, keeps=True, seconds=seconds) as stays:
        for index in range(LABS):
            name = f"s{index}"
            testbed.project.write(name, FIRST + index, image=IMAGE)
            testbed.up(name)
            testbed.down(name)
            time.sleep(max(0.0, begun + seconds * (index + 1) / LABS - time.monotonic()))
    testbed.down("bystander")
    seen = stays.seen
    return {"minutes": round(seen["lived"] / 60, 1), "requests": seen["kept"],
            "failed": seen["kept cut"], "connections": seen["connections"],
            "labs": LABS}  # fmt: skip
