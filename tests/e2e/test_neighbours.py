"""Two stacks on one host: bringing one up or down costs the other no request."""

from __future__ import annotations

import concurrent.futures
import json
import pathlib

import pytest

from hosts.host import Host
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

# Runs on the workstation: requests over new and kept connections, until the file `stop` exists.
LOAD = """
import http.client, json, os, ssl, sys, time
domain, stop, limit = sys.argv[1], sys.argv[2], time.monotonic() + 60
context = ssl._create_unverified_context()
kept = {80: http.client.HTTPConnection(domain, timeout=5),
        443: http.client.HTTPSConnection(domain, timeout=5, context=context)}
done, failed = 0, []
def ask(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    if answer.getheader("x-served-by") != domain.partition(".")[0]: raise OSError(answer.status)
while not os.path.exists(stop) and time.monotonic() < limit:
    for port in (80, 443):
        fresh = (http.client.HTTPConnection(domain, timeout=5) if port == 80
                 else http.client.HTTPSConnection(domain, timeout=5, context=context))
        for name, connection in (("new", fresh), ("kept", kept[port])):
            try:
                ask(connection)
                done += 1
            except Exception as error:
                failed.append(f"{name} {port}: {error!r}")
        fresh.close()
    time.sleep(0.01)
print(json.dumps({"done": done, "failed": failed, "stopped": os.path.exists(stop)}))
"""


def test_two_labs_come_up_at_once_and_one_leaves(
    project: ProjectCopy,
    client: Client,
    lab_host: Host,
    workstation: Host,
    tmp_path: pathlib.Path,
) -> None:
    """Both answer after a concurrent `up`; while one is destroyed the other loses no request."""
    before = inventory(lab_host, workstation)
    stop = tmp_path / "stop"
    project.write("carol", 11)
    project.write("dave", 12)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(project.up, ["carol", "dave"]))
        for stack in ("carol", "dave"):
            assert client.reaches(project.outputs(stack)["servers"])
        argv = ["python3", "-c", LOAD, "yuno1.carol.grappe.test", str(stop)]
        load = pool.submit(lambda: json.loads(workstation.run(argv, timeout=90).stdout))
        project.destroy("dave")
        project.up("dave")
        stop.touch()
        result = load.result()
    assert result["stopped"], "the load ended before the neighbour had come back"
    assert [] == result["failed"]
    assert result["done"] > 200
    for stack in ("carol", "dave"):
        project.destroy(stack)
    assert before == inventory(lab_host, workstation)
