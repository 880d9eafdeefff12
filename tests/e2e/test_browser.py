"""A browser opens every domain by the hosts entries, and the topology picture."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from hosts import connections
from sandbox import browser, layout
from tests.e2e.conftest import ProjectCopy

pytestmark = pytest.mark.sandbox

# The first bytes of a PNG file.
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the pictures of this run are."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def sara(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """A lab that is up."""
    project.write("sara", 82)
    project.up("sara")
    yield project
    project.destroy("sara")


def test_every_domain_opens_in_a_browser(
    sara: ProjectCopy, sandbox: layout.Layout, pictures: pathlib.Path
) -> None:
    """HTTP and HTTPS show each server's own page; a domain without an entry shows none."""
    for server in sara.outputs("sara")["servers"]:
        for url in server["urls"]:
            scheme = url.partition(":")[0]
            picture = pictures / f"{server['name']}-{scheme}.png"
            page = browser.visit(url, sandbox, picture=picture, size=(800, 400))
            assert f"{server['name']}: a stand-in for YunoHost" in page
            assert picture.read_bytes().startswith(PNG)
    with_no_entry = browser.visit("http://yuno9.sara.grappe.test/", sandbox)
    assert "stand-in for YunoHost" not in with_no_entry


def test_topology_picture_opens_in_a_browser(
    sara: ProjectCopy, sandbox: layout.Layout, pictures: pathlib.Path
) -> None:
    """The browser renders it; its text has the stack's addresses, ports and domains."""
    svg = sara.folder / "sara.svg"
    sara.lab("graph", "sara", "--svg", str(svg))
    picture = pictures / "sara.png"
    shown = browser.visit(svg.as_uri(), picture=picture, size=(1280, 620))
    for words in ("192.168.8.10", "23032", "10.64.82.10", "yuno2.sara.grappe.test", "gr-82"):
        assert words in shown
    assert "error" not in shown.lower()
    assert picture.read_bytes().startswith(PNG)
    connections.close_all()
