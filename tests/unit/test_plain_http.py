"""One GET of HTTP/1.0, against a server of the standard library."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from remote import plain_http

BODY = b"x" * 200_000


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers to one path."""

    def do_GET(self) -> None:
        """Answer with a body, and say no length of it."""
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()
        self.wfile.write(BODY if self.path == "/there" else b"no")

    def log_message(self, *_what: object) -> None:
        """Say nothing."""


def test_the_body_of_an_answer_is_returned_whole() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path, body in (("/there", BODY), ("/elsewhere", b"no")):
            with socket.create_connection(server.server_address, timeout=5) as connection:
                assert body == plain_http.get(connection, path)
        server.shutdown()


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_get_raises_for_an_answer_that_is_no_http(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match="no HTTP"):
            plain_http.get(ours, "/")
