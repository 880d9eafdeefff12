"""The survey of LXD, against a daemon that answers as LXD does while it starts or stops."""

from __future__ import annotations

import json
import pathlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remote.surveys import abilities, lab, lab_host, lxd

STOPPING = {
    "type": "error", "status": "", "status_code": 0, "operation": "", "error_code": 503,
    "error": "LXD daemon is shutting down", "metadata": None,
}  # fmt: skip


@pytest.fixture
def daemon(tmp_path: pathlib.Path) -> Iterator[Callable[[str], str]]:
    """Return a function that has a daemon give every request one body, and its socket's path."""
    made: list[socket.socket] = []

    def serve(body: str) -> str:
        path = str(tmp_path / f"{len(made)}.socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        made.append(listener)
        threading.Thread(target=answer, args=(listener, body), daemon=True).start()
        return path

    def answer(listener: socket.socket, body: str) -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.sendall(f"HTTP/1.0 503 .\r\n\r\n{body}".encode())

    yield serve
    for listener in made:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("body", "words", "shown"),
    [
        (json.dumps(STOPPING), "LXD daemon is shutting down", "shutting down"),
        (json.dumps(STOPPING)[:20], "JSONDecodeError", "Unterminated"),
        ("", "JSONDecodeError", "Expecting value"),
        (json.dumps({"type": "sync"}), "KeyError 'metadata'", "metadata"),
    ],
)
def test_stopping_daemon_is_reported_in_words(
    daemon: Callable[[str], str], body: str, words: str, shown: str
) -> None:
    path = daemon(body)
    found: Any = lxd.main([path], None, ())
    assert found["error"].startswith(f"LXD does not answer: {words}")
    with pytest.raises((OSError, ValueError, KeyError)):
        lxd.instances([path], ["grappe-anna"])
    assert lxd.try_query([path], "networks") is None
    assert abilities._shifts([path])
    assert shown in lab_host._daemon(path)["error"]


def test_a_list_that_is_null_is_empty(daemon: Callable[[str], str]) -> None:
    assert lxd.query(daemon(json.dumps({"type": "sync", "metadata": None})), "networks") == []


def test_failed_listing_of_instances_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight refuses then; it would see no server that a changed image recreates."""

    def fail(*_arguments: object) -> object:
        raise OSError("database is locked")

    monkeypatch.setattr(lxd, "instances", fail)
    monkeypatch.setattr(lxd, "main", lambda *_arguments: {"program": "incus", "projects": []})
    found = lab.main({"sockets": [], "store": "/nonexistent", "urls": []})
    assert "LXD does not answer: database is locked" == found["lxd"]["error"]
    assert "incus" == found["lxd"]["program"]
