"""Connections that live while labs come and go around theirs."""

from __future__ import annotations

import pathlib
import tempfile
import time

from bench.testbed import BYSTANDERS, IMAGE, Testbed
from hosts import connections
from sandbox import kept_connection

LABS, FIRST = 10, 100


def run(testbed: Testbed, minutes: float) -> dict[str, float]:
    """Bring ten labs up and down, spread over the time, while one client keeps its connections.

    Returns:
        `minutes` that the connections lived, `requests` and `failed` ones, how many `connections`
        it took (two, one by http and one by https, where none was cut), and `labs`.

    """
    testbed.up_bystander()
    workstation = connections.connect(testbed.layout.workstation_url)
    seconds = 60 * minutes
    with tempfile.TemporaryDirectory(prefix="grappe-bench-") as folder:
        stop = pathlib.Path(folder) / "stop"
        with kept_connection.Client(workstation, BYSTANDERS, stop, seconds) as stays:
            begun = time.monotonic()
            for index in range(LABS):
                name = f"s{index}"
                testbed.project.write(name, FIRST + index, image=IMAGE)
                testbed.up(name)
                testbed.down(name)
                time.sleep(max(0.0, begun + seconds * (index + 1) / LABS - time.monotonic()))
            seen = stays.end()
    testbed.down("bystander")
    return {"minutes": round(seen.lived / 60, 1), "requests": seen.asked, "failed": seen.failed,
            "connections": seen.connections, "labs": LABS}  # fmt: skip
