"""One HTTP/1.0 GET. Runs on a host: standard library alone.

It serves for daemons on the host itself: loading http.client takes longer than their answer, in
every process.
"""

from __future__ import annotations

import socket


def get(connection: socket.socket, path: str) -> bytes:
    """Return the body of the answer to a GET; the other end then closes the connection.

    Raises:
        OSError: Nothing answers, or something that does not speak HTTP.
    """
    connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _blank, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1."):
        raise OSError(f"no HTTP: {head[:40]!r}")
    return body
