"""`command.attach`: a child on our streams gets each interrupt exactly once."""

from __future__ import annotations

import os
import pathlib
import pty
import signal
import subprocess
import sys

import pytest

# Counts its SIGINTs until its input ends, or half a second after the first; exits with their number.
CHILD = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
print("ready", flush=True)
deadline = time.monotonic() + 20
while not seen and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.5)
print("interrupts:", len(seen), flush=True)
sys.exit(7)
"""
OURS = f"""
import sys
sys.path.insert(0, {str(pathlib.Path.cwd())!r})
from hosts import command
try:
    command.attach([sys.executable, "-c", {CHILD!r}])
except KeyboardInterrupt:
    print("ended in good order")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_of_this_process_alone_is_passed_on(number: signal.Signals) -> None:
    """As `kill -INT` and a supervisor's SIGTERM are: no terminal sends them to the child."""
    process = subprocess.Popen(
        [sys.executable, "-c", OURS], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    process.send_signal(number)
    assert "interrupts: 1\nended in good order\n" == process.communicate(timeout=30)[0]


def test_interrupt_of_a_terminal_arrives_once() -> None:
    """The terminal sends it to both; a second one would end the engine without an orderly end."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", OURS])  # noqa: S606
    output = b""
    while b"ready" not in output:
        output += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while b"good order" not in output:
        output += os.read(terminal, 1000)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"interrupts: 1\r\n" in output
