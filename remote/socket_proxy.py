"""Serve one socket on another that the login may use. Runs on a host as root.

It prints the path of its socket, then a line when ready. When its standard
input ends, it removes the socket and exits. Standard library alone.
"""

import os
import select
import shutil
import socket
import sys
import tempfile
import threading


def pump(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes from one socket to the other until the end."""
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(listener: socket.socket, target: str) -> None:
    """Join each new connection with a connection to the target."""
    while True:
        near, _address = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(target)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def main() -> None:
    """Serve until standard input ends."""
    folder = tempfile.mkdtemp(prefix="grappe-socket-")
    try:
        path = os.path.join(folder, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        uid = int(os.environ.get("SUDO_UID", "0"))
        os.chown(folder, uid, -1)
        os.chown(path, uid, -1)
        os.chmod(path, 0o600)
        listener.listen()
        threading.Thread(target=serve, args=(listener, sys.argv[1]), daemon=True).start()
        sys.stdout.write(path + "\ngrappe-ready\n")
        sys.stdout.flush()
        while True:
            select.select([sys.stdin], [], [])
            if not os.read(0, 4096):
                return
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
