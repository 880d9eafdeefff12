"""Try a server's services as a student would. Runs on the workstation: standard library alone."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from typing import Any, Dict, List

TRY_SECONDS = 4.0
# HAProxy's own statuses when no server answers behind it.
NO_SERVER = {502, 503, 504}
CUT = "the TLS connection was closed at its beginning"


def main(request: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Try all checks at once, each until it succeeds or the time is over.

    Args:
        request: `checks` (each `kind`, `port`, `domain`, and `led`, whether the request must come
            through Grappe's part of HAProxy), the `address` of those that name none, and `seconds`.

    Returns:
        For each check: `ok`, and `seen`, the answer or the error.
    """
    deadline = time.monotonic() + request["seconds"]
    results: List[Dict[str, Any]] = [{} for _check in request["checks"]]

    def act(index: int) -> None:
        check = request["checks"][index]
        while True:
            results[index] = _try(check.get("address") or request["address"], check)
            if results[index]["ok"] or time.monotonic() > deadline:
                return
            time.sleep(0.1)

    threads = [threading.Thread(target=act, args=(index,)) for index in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _try(address: str, check: Dict[str, Any]) -> Dict[str, Any]:
    try:
        led = check.get("domain", "") if check.get("led") else ""
        seen = _CHECKS[check["kind"]](address, check["port"], check.get("domain", ""), led)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        # HAProxy passes TLS on, and has nobody to pass it to; or the server closed it.
        return {"ok": False, "seen": CUT}
    except (OSError, http.client.HTTPException) as error:
        return {"ok": False, "seen": f"{type(error).__name__}: {error}".rstrip(": ")}
    bad = seen.startswith("! ")
    return {"ok": not bad, "seen": seen[2:] if bad else seen}


def _tcp(address: str, port: int, _domain: str, _led: str) -> str:
    with socket.create_connection((address, port), timeout=TRY_SECONDS):
        return "connected"


def _ssh(address: str, port: int, _domain: str, _led: str) -> str:
    with socket.create_connection((address, port), timeout=TRY_SECONDS) as connection:
        connection.settimeout(TRY_SECONDS)
        banner = connection.recv(255).decode("ascii", "replace").strip()
    if not banner:
        return "! the connection was closed before a banner came"
    return banner if banner.startswith("SSH-2.0-") else f"! not an SSH banner: {banner}"


def _http(address: str, port: int, domain: str, led: str) -> str:
    return _answer(http.client.HTTPConnection(address, port, timeout=TRY_SECONDS), domain, led)


def _https(address: str, port: int, domain: str, led: str) -> str:
    # A server's own certificate is self-signed at first, so this loads no authority.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Without a context it would load all authorities, for 30 ms.
    connection = http.client.HTTPSConnection(address, port, timeout=TRY_SECONDS, context=context)
    plain = socket.create_connection((address, port), timeout=TRY_SECONDS)
    connection.sock = context.wrap_socket(plain, server_hostname=domain)
    return _answer(connection, domain, led)


def _answer(connection: http.client.HTTPConnection, domain: str, led: str) -> str:
    asks = {"X-Grappe-Asks": "who"} if led else {}
    try:
        connection.request("GET", "/", headers={"Host": domain, "Connection": "close", **asks})
        answer = connection.getresponse()
    finally:
        connection.close()
    # A server's own 502 carries a Server header; HAProxy's does not.
    if answer.status in NO_SERVER and not answer.getheader("server"):
        return f"! {answer.status} {answer.reason}: HAProxy finds no server behind it"
    if answer.status == 404 and not answer.getheader("server"):
        return "! 404: HAProxy does not know the domain"
    if led and answer.getheader("X-Grappe-Led-To") != led:
        who = answer.getheader("server") or "a program that does not give its name"
        return f"! something other than the lab answers: {who}, {answer.status} {answer.reason}"
    return f"{answer.status} {answer.reason}"


_CHECKS = {"tcp": _tcp, "ssh": _ssh, "http": _http, "https": _https}
