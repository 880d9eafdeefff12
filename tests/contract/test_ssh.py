"""Program and plugin of a run share one SSH connection to a host."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

import pytest

from hosts import command
from hosts.host import Host

pytestmark = pytest.mark.sandbox

# The program connects ahead and lives on while the plugin goes on with it; both are children of
# what is called as the engine is.
PROGRAM = """
import pathlib, subprocess, sys, tempfile, time
from core import lifetime
from hosts import connections
host, plugin = sys.argv[1:]
connections.connect_ahead(host)
while not list(pathlib.Path(tempfile.gettempdir()).glob(f"grappe-{lifetime.engine()}-*/control")):
    time.sleep(0.02)
sys.exit(subprocess.run([sys.executable, "-c", plugin, host]).returncode)
"""
PLUGIN = """
import sys
from core import lifetime
from hosts import connections
print(lifetime.engine(), connections.connect(sys.argv[1]).run(["hostname"]).stdout, end="")
"""


def logins(host: Host) -> int:
    """Return how many logins the host's sshd has seen."""
    return host.run(["journalctl", "-u", "ssh", "-o", "cat"]).stdout.count("Accepted publickey")


def test_plugin_reuses_the_connection_of_the_program(
    lab_host: Host, tmp_path: pathlib.Path
) -> None:
    """One login for both, and nothing is left of it when they have ended."""
    engine = tmp_path / "pulumi"
    engine.symlink_to(pathlib.Path(sys.executable).resolve())
    start = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    program = [sys.executable, "-c", PROGRAM, lab_host.url, PLUGIN]
    before = logins(lab_host)
    done = subprocess.run(
        [str(engine), "-c", start, *program], capture_output=True, text=True, timeout=60, check=True
    )
    run, name = done.stdout.split()
    assert name == lab_host.run(["hostname"]).stdout.strip()
    assert before + 1 == logins(lab_host)
    assert not list(pathlib.Path(tempfile.gettempdir()).glob(f"grappe-{run}-*"))
    command.wait_until(
        lambda: not command.execute(["pgrep", "-f", f"/grappe-{run}-"]).stdout,
        what="the end of the connection",
        timeout=10,
    )
