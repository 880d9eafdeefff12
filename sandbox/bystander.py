"""A bystander: a client on the workstation that reads a page while other labs come and go."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Self

from sandbox.layout import HOST_ADDRESS, Layout

# Requests a page by new connections until its input ends, if wanted also by one that it keeps; then
# prints the counts. One process does all of it: a curl for each page would compete with the
# measured runs for the processor.
_PROGRAM = """
import http.client, json, select, sys, time
address, domain, pause, keeps = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "True"
found = {"requests": 0, "failures": 0}
if keeps:
    found |= {"kept": 0, "kept cut": 0, "worst": 0.0}
def fresh():
    return http.client.HTTPConnection(address, timeout=15)
def fails(way):
    began = time.monotonic()
    try:
        way.request("GET", "/", headers={"Host": domain})
        answer = way.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return True
    if keeps:
        found["worst"] = max(found["worst"], round(time.monotonic() - began, 2))
    return answer.getheader("x-served-by") != domain.partition(".")[0]
kept = fresh()
while not select.select([sys.stdin], [], [], pause)[0]:
    way = fresh()
    found["requests"] += 1
    found["failures"] += fails(way)
    way.close()
    if keeps:
        found["kept"] += 1
        if fails(kept):
            found["kept cut"] += 1
            kept = fresh()
print(json.dumps(found))
"""


class Bystander:
    """A client that requests one page again and again.

    Args:
        layout: The sandbox, on whose workstation it runs.
        domain: The page's domain.
        pause: Seconds between two requests.
        keeps: Whether it also uses a connection that it keeps.

    Attributes:
        seen: The counts of requests and failures; where it keeps a connection, also of that one's
            uses and cuts, and the slowest request. Known at the end.

    """

    def __init__(
        self, layout: Layout, domain: str, *, pause: float = 0.05, keeps: bool = False
    ) -> None:
        self.seen: dict[str, Any] = {}
        argv = ["ip", "netns", "exec", layout.workstation, "python3", "-I", "-c", _PROGRAM]
        self._argv = [*argv, HOST_ADDRESS, domain, str(pause), str(keeps)]

    def __enter__(self) -> Self:
        """Begin."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        output, _nothing = self._process.communicate(timeout=60)
        self.seen = json.loads(output)
