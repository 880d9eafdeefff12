"""Bystanders: clients that read a page while other labs come and go."""

from __future__ import annotations

import json
import pathlib
import subprocess

from sandbox.layout import HOST_ADDRESS, Layout

# Runs on the workstation until a file appears: uses new connections, and one that it keeps.
_PROGRAM = """
import http.client, json, os, sys, time
address, domain, stop = sys.argv[1:4]
found = {"new": 0, "new failed": 0, "kept": 0, "kept cut": 0, "worst": 0.0}
def ask(way):
    began = time.monotonic()
    way.request("GET", "/", headers={"Host": domain})
    answer = way.getresponse()
    answer.read()
    found["worst"] = max(found["worst"], round(time.monotonic() - began, 2))
    return answer.getheader("x-served-by") == domain.partition(".")[0]
def fresh():
    return http.client.HTTPConnection(address, timeout=15)
kept = fresh()
ask(kept)
while not os.path.exists(stop):
    way = fresh()
    try:
        found["new"] += 1
        found["new failed"] += not ask(way)
    except OSError:
        found["new failed"] += 1
    way.close()
    try:
        found["kept"] += 1
        ask(kept)
    except (OSError, http.client.HTTPException):
        found["kept cut"] += 1
        kept = fresh()
    time.sleep(0.2)
print(json.dumps(found))
"""


class Bystander:
    """A client that reads one page all the time.

    Args:
        layout: The sandbox, on whose workstation it runs.
        domain: The page's domain.
        folder: The folder of the file that ends it.

    """

    def __init__(self, layout: Layout, domain: str, folder: pathlib.Path) -> None:
        self._stop = folder / f"stop-{domain}"
        argv = ["ip", "netns", "exec", layout.workstation, "python3", "-c", _PROGRAM,
                HOST_ADDRESS, domain, str(self._stop)]  # fmt: skip
        self._reads = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def end(self) -> dict[str, object]:
        """Return the counts of uses and failures of new and kept connections, and the slowest."""
        self._stop.touch()
        said, _none = self._reads.communicate(timeout=60)
        return dict(json.loads(said))
