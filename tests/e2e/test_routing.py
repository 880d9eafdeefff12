"""HAProxy routing: domains are added and removed without closing others' connections."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator

import pytest

from hosts.host import Host
from providers.haproxy.model import BackendSpec
from providers.haproxy.resource import BackendProvider
from remote import haproxy_maps
from sandbox.bystander import Bystander
from sandbox.layout import Layout
from tests.contract.fragment_hosts import RealFragmentHost
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox
DOMAIN = "erin.grappe.test"
# An address that leads nowhere (RFC 5737).
NOWHERE = "192.0.2.1"
# `./lab bench connection` holds its connections for fifteen minutes.
SECONDS = 60

# Runs on the workstation: requests two domains in turn over one connection.
CROSS = """
import http.client, sys
domain, way, seen = sys.argv[1], http.client.HTTPConnection(sys.argv[2], timeout=5), []
for turn in range(60):
    name = f"yuno{1 + turn % 2}"
    way.request("GET", "/", headers={"Host": f"{name}.{domain}"})
    answer = way.getresponse()
    answer.read()
    seen.append(answer.getheader("x-served-by") == name)
print(all(seen), len(seen))
"""


@pytest.fixture(scope="module")
def erin(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """A lab of two servers, with a name below the first one's domain."""
    project.write("erin", 21, servers=[{"name": "yuno1", "names": ["www"]}, {"name": "yuno2"}])
    project.up("erin")
    return project


def backend(host: Host, name: str, **changes: object) -> BackendSpec:
    known = {"domains": (f"{name}.come.test",), "address": NOWHERE, **changes}
    return BackendSpec(host=host.url, owner="grappe/come", name=name, **known)  # type: ignore[arg-type]


@pytest.mark.long
def test_connection_survives_ups_and_downs_of_ten_labs(
    erin: ProjectCopy, lab_host: Host, sandbox: Layout
) -> None:
    """For a minute, http and https: nothing is reloaded, so nobody's connection is closed."""
    host, driver = RealFragmentHost(lab_host), BackendProvider().driver(lab_host)
    worker = host.worker()
    with Bystander(sandbox, f"yuno1.{DOMAIN}", pause=1, keeps=True, seconds=SECONDS) as stays:
        erin.write("frank", 22)
        erin.up("frank")
        erin.destroy("frank")
        for lab in range(9):
            specs = [backend(lab_host, f"lab{lab}-yuno{n}") for n in (1, 2)]
            for spec in specs:
                driver.create(spec)
            for spec in specs:
                driver.delete(spec)
    assert (0, 2) == (stays.seen["kept cut"], stays.seen["connections"])
    assert stays.seen["lived"] >= SECONDS
    assert worker == host.worker()


def test_kept_connection_never_reaches_another_server(erin: ProjectCopy, workstation: Host) -> None:
    """HAProxy routes each request of a kept connection by its own Host header."""
    del erin
    output = workstation.run(["python3", "-c", CROSS, DOMAIN, f"yuno1.{DOMAIN}"]).stdout
    assert "True 60" == output.strip()


def test_reload_by_a_teacher_during_changes_is_safe(erin: ProjectCopy, lab_host: Host) -> None:
    """The worker that serves after six reloads has all routes."""
    del erin
    driver = BackendProvider().driver(lab_host)
    specs = [backend(lab_host, f"many{n}") for n in range(12)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        script = "for turn in 1 2 3 4 5 6; do systemctl reload haproxy; sleep 0.1; done"
        reloads = pool.submit(lab_host.run, ["sh", "-c", script])
        for spec in specs:
            driver.create(spec)
        reloads.result()
    time.sleep(1)
    assert [""] * 12 == [driver.read(spec).drift for spec in specs]
    for spec in specs:
        driver.delete(spec)


def test_name_below_a_domain_reaches_its_server(
    erin: ProjectCopy, client: Client, lab_host: Host
) -> None:
    """Workstation and servers resolve a listed name; HAProxy routes an unlisted one too."""
    assert "yuno1" == client.get(f"http://www.yuno1.{DOMAIN}/")
    assert "yuno1" == client.get(f"https://www.yuno1.{DOMAIN}/")
    inside = ["lxc", "exec", "yuno2", "--project", "grappe-erin", "--"]
    known = lab_host.run([*inside, "getent", "hosts", f"www.yuno1.{DOMAIN}"]).stdout
    assert known.startswith("10.64.21.10")
    host = ["-H", f"Host: wiki.yuno2.{DOMAIN}", f"http://yuno1.{DOMAIN}/"]
    assert "x-served-by: yuno2" in client.run("curl", "-sSI", *host).lower()
    erin.up("erin", "--expect-no-changes")


def test_request_counts_survive_a_reload(erin: ProjectCopy, client: Client, lab_host: Host) -> None:
    """A worker that has lived for some seconds hands them on to the next."""
    time.sleep(8)
    client.get(f"http://yuno1.{DOMAIN}/")
    before = counts(lab_host)
    assert before["requests"] > 0
    lab_host.run(["systemctl", "reload", "haproxy"])
    time.sleep(2)
    assert before == counts(lab_host)
    assert ", 0 open" in erin.lab("check", "erin")


def counts(host: Host) -> dict[str, int]:
    """Return HAProxy's request counts of the first server."""
    return dict(host.call("remote.surveys.requests", {})["10.64.21.10"])


def test_server_that_is_not_up_has_a_page(
    erin: ProjectCopy, client: Client, lab_host: Host
) -> None:
    """503 in French and English, a closed connection by HTTPS; the route stays in the map."""
    erin.write("erin", 21, servers=[{"name": "yuno1", "names": ["www"]},
                                    {"name": "yuno2", "state": "stopped"}])  # fmt: skip
    worker = RealFragmentHost(lab_host).worker()
    erin.up("erin")
    assert worker == RealFragmentHost(lab_host).worker()
    argv = ["curl", "-sS", "-w", "%{http_code}", f"http://yuno2.{DOMAIN}/"]
    page = client.run(*argv)
    assert page.endswith("503")
    assert "Ce serveur est arrêté" in page
    assert "This server is stopped" in page
    assert f"yuno2.{DOMAIN} 10.64.21.11" in lab_host.run(["cat", haproxy_maps.ROUTES]).stdout
    closed = f"curl -sk --max-time 5 https://yuno2.{DOMAIN}/; echo $?"
    assert client.run("sh", "-c", closed).strip() in {"35", "56"}
    driver = BackendProvider().driver(lab_host)
    spec = backend(lab_host, "new_page", state=haproxy_maps.INSTALLING, domains=("new.come.test",))
    driver.create(spec)
    host = ["-H", "Host: new.come.test", f"http://yuno1.{DOMAIN}/"]
    assert "en cours d'installation" in client.run("curl", "-sS", *host)
    driver.delete(spec)
    erin.write("erin", 21, servers=[{"name": "yuno1", "names": ["www"]}, {"name": "yuno2"}])
    erin.up("erin")
    assert "yuno2" == client.get(f"https://yuno2.{DOMAIN}/")
