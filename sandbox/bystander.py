"""A bystander: a client on the workstation that reads a page while other labs come and go."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Self

from sandbox.layout import HOST_ADDRESS, Layout

# Requests a page by new connections until its input ends and its time is over; if wanted, also by
# two that it keeps, one by http and one by https. Then it prints the counts. One process does all
# of it: a curl for each page would compete with the measured runs for the processor.
_PROGRAM = """
import http.client, json, select, ssl, sys, time
address, domain, pause, keeps = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "True"
begun, found, kept, ports = time.monotonic(), {"requests": 0, "failures": 0}, [], set()
if keeps:
    found |= {"kept": 0, "kept cut": 0, "worst": 0.0}
    context = ssl._create_unverified_context()
    kept = [http.client.HTTPConnection(domain, timeout=15),
            http.client.HTTPSConnection(domain, timeout=15, context=context)]
def fails(way):
    began = time.monotonic()
    try:
        way.request("GET", "/", headers={"Host": domain})
        answer = way.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        way.close()
        return True
    if keeps:
        found["worst"] = max(found["worst"], round(time.monotonic() - began, 2))
    return answer.getheader("x-served-by") != domain.partition(".")[0]
def is_over():
    ended = select.select([sys.stdin], [], [], pause)[0]
    left = begun + float(sys.argv[5]) - time.monotonic()
    time.sleep(min(pause, max(0, left)) if ended else 0)
    return ended and left <= 0
while not is_over():
    way = http.client.HTTPConnection(address, timeout=15)
    found["requests"] += 1
    found["failures"] += fails(way)
    way.close()
    for number, way in enumerate(kept):
        found["kept"] += 1
        found["kept cut"] += fails(way)
        ports.add((number, way.sock and way.sock.getsockname()[1]))
if keeps:
    found |= {"connections": len(ports), "lived": round(time.monotonic() - begun, 1)}
print(json.dumps(found))
"""


class Bystander:
    """A client that requests one page again and again.

    Args:
        layout: The sandbox, on whose workstation it runs.
        domain: The page's domain.
        pause: Seconds between two requests.
        keeps: Whether it also uses two connections that it keeps, by http and by https.
        seconds: The least that it stays.

    Attributes:
        seen: The counts of requests and failures; where it keeps connections, also of their uses
            and cuts, how many it took (`connections`, two where none was cut), the seconds that
            they `lived`, and the slowest request. Known at the end.
    """

    def __init__(
        self, layout: Layout, domain: str, *, pause: float = 0.05, keeps: bool = False,
        seconds: float = 0,
    ) -> None:  # fmt: skip
        self.seen: dict[str, Any] = {}
        self._seconds = seconds
        argv = ["ip", "netns", "exec", layout.workstation, "python3", "-I", "-c", _PROGRAM]
        self._argv = [*argv, HOST_ADDRESS, domain, str(pause), str(keeps), str(seconds)]

    def __enter__(self) -> Self:
        """Begin."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        output, _nothing = self._process.communicate(timeout=60 + self._seconds)
        self.seen = json.loads(output)
