"""Probes of servers by HTTP and HTTPS: which answer counts, and which is a fault."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from remote import reachability
from views import check as check_view

DOMAIN = "yuno1.test"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as its class says."""

    status, led = 200, ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.led and self.headers["X-Grappe-Asks"]:
            self.send_header("X-Grappe-Led-To", self.led)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server on loopback that answers so."""
    status, led = request.param
    kind = type("Kind", (Handler,), {"status": status, "led": led})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("port", "ok", "words"),
    [((200, DOMAIN), True, "200"), ((301, DOMAIN), True, "301"),
     ((200, ""), False, "something other than the lab answers: BaseHTTP"),
     ((301, "another.test"), False, "something other than the lab answers")],
    indirect=["port"],
)  # fmt: skip
def test_page_of_another_program_does_not_count(port: int, ok: bool, words: str) -> None:
    """Whatever its status: only what Grappe's part of HAProxy led there counts."""
    check = {"kind": "http", "port": port, "domain": DOMAIN, "led": True}
    (seen,) = reachability.main({"address": "127.0.0.1", "checks": [check], "seconds": 0})
    assert ok is seen["ok"]
    assert words in seen["seen"]


def test_closed_tls_handshake_is_reported_in_words() -> None:
    """As by HAProxy without a server behind it: not Python's words, nor its line numbers."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_all() -> None:
            connection, _address = server.accept()
            with connection:
                # All of the hello, or the close would be a reset.
                connection.recv(1 << 16)

        threading.Thread(target=close_all, daemon=True).start()
        check = {"kind": "https", "port": server.getsockname()[1], "domain": DOMAIN}
        (seen,) = reachability.main({"address": "127.0.0.1", "checks": [check], "seconds": 0})
    assert seen == {"ok": False, "seen": reachability.CUT}
    assert isinstance(check_view.report(seen["seen"]), check_view.Message)
