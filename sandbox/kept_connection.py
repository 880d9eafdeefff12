"""A client on the workstation that keeps one connection by http and one by https."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import pathlib
from typing import Self

from hosts.host import Host

_PROGRAM = """
import http.client, json, os, ssl, sys, time
domain, stop, least = sys.argv[1], sys.argv[2], float(sys.argv[3])
context = ssl._create_unverified_context()
ways = [http.client.HTTPConnection(domain, timeout=5),
        http.client.HTTPSConnection(domain, timeout=5, context=context)]
begun, asked, failed, ports = time.monotonic(), 0, 0, set()
while time.monotonic() - begun < least or (
        not os.path.exists(stop) and time.monotonic() - begun < 2 * least):
    for number, way in enumerate(ways):
        asked += 1
        try:
            way.request("GET", "/")
            answer = way.getresponse()
            answer.read()
            failed += answer.getheader("x-served-by") != domain.partition(".")[0]
        except (OSError, http.client.HTTPException):
            failed += 1
            way.close()
        ports.add((number, way.sock.getsockname()[1] if way.sock else "closed"))
    time.sleep(1)
print(json.dumps({"asked": asked, "failed": failed, "connections": len(ports),
                  "lived": time.monotonic() - begun}))
"""


@dataclasses.dataclass(frozen=True)
class Counts:
    """The counts of the kept connections.

    Attributes:
        asked: How many requests there were, one a second by each way.
        failed: How many got no answer of the domain's own server.
        connections: Two where none was cut.
        lived: Seconds.
    """

    asked: int
    failed: int
    connections: int
    lived: float


class Client:
    """Requests one page by two kept connections, for some seconds and until it is ended.

    Args:
        workstation: The client's machine, whose hosts entries know the domain.
        domain: The page's domain.
        stop: A file that ends it, made by `end`.
        seconds: The least that it stays; it ends by itself after twice as long.

    """

    def __init__(self, workstation: Host, domain: str, stop: pathlib.Path, seconds: float) -> None:
        self._stop = stop
        argv = ["python3", "-c", _PROGRAM, domain, str(stop), str(seconds)]
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._reads = self._pool.submit(workstation.run, argv, timeout=2 * seconds + 60)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End it, whatever happened."""
        self._stop.touch()
        self._pool.shutdown()

    def end(self) -> Counts:
        """End it, and return its counts."""
        self._stop.touch()
        return Counts(**json.loads(self._reads.result().stdout))
