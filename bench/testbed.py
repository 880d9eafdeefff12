"""The bench's own sandbox, with an image, and a copy of the project."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from core import kernel_limits
from hosts import command
from sandbox import machine, project_copy
from sandbox.bystander import Bystander
from sandbox.layout import HOST_ADDRESS, Layout

T = TypeVar("T")
IMAGE = "bench"
PROC = pathlib.Path("/proc/sys")
UP = ("up", "--yes", "--skip-preview")
# A destroy reads nothing first.
DOWN = ("destroy", "--yes", "--skip-preview", "--refresh=false")
ANSWER_SECONDS = 120
# The domain of the bystander's page.
BYSTANDERS = "yuno1.bystander.grappe.test"


class Testbed:
    """A lab host, the workstation, and the project that acts on them."""

    def __init__(self, layout: Layout, project: project_copy.ProjectCopy) -> None:
        self.layout, self.project = layout, project

    def host(self, *argv: str, stdin: bytes = b"") -> str:
        """Run argv on the lab host; raise if it fails."""
        done = machine.ssh(self.layout, *argv, stdin=stdin, timeout=600)
        return done.demand(f"`{' '.join(argv)[:80]}` failed").stdout

    def wait_for(self, student: str, number: int) -> None:
        """Return when every server of a student answers itself on every way."""
        ways = [(server, way) for server in ("yuno1", "yuno2") for way in ("ssh", "http", "https")]
        together(lambda way: self._wait_for(student, number, *way), ways)

    def _wait_for(self, student: str, number: int, server: str, way: str) -> None:
        command.wait_until(
            lambda: self._answers(student, number, server, way),
            what=f"an answer of {student}'s {server} by {way}", timeout=ANSWER_SECONDS, pause=0,
        )  # fmt: skip

    def _answers(self, student: str, number: int, server: str, way: str) -> bool:
        if way == "ssh":
            port = 22222 + 10 * (number - 1) + int(server.removeprefix("yuno")) - 1
            script = f"exec 3<>/dev/tcp/{HOST_ADDRESS}/{port} && head -c 3 <&3"
            argv = ["bash", "-c", script]
        else:
            domain = f"{server}.{student}.grappe.test"
            address = HOST_ADDRESS
            argv = ["curl", "-sk", "--max-time", "2", "--resolve", f"{domain}:80:{address}",
                    "--resolve", f"{domain}:443:{address}", "-o", "/dev/null",
                    "-w", "%header{x-served-by}", f"{way}://{domain}/"]  # fmt: skip
        done = command.execute(["ip", "netns", "exec", self.layout.workstation, *argv], timeout=10)
        return done.stdout.startswith("SSH" if way == "ssh" else server)

    def up_bystander(self) -> None:
        """Bring up the lab of a bystander, whom others must not disturb."""
        self.project.write("bystander", 99, image=IMAGE, servers=[{"name": "yuno1"}])
        self.up("bystander")

    def bystander(self) -> Bystander:
        """Return a client that requests its page again and again."""
        return Bystander(self.layout, BYSTANDERS)

    def request_time(self, count: int) -> float:
        """Return the median time of a request, connection included, in milliseconds."""
        argv = ["ip", "netns", "exec", self.layout.workstation, "curl", "-s", "--max-time", "10",
                "--resolve", f"{BYSTANDERS}:80:{HOST_ADDRESS}", f"http://{BYSTANDERS}/",
                "--write-out", "\n%{time_total}"]  # fmt: skip
        outputs = [command.execute(argv, timeout=15).stdout for _turn in range(count)]
        return round(1000 * statistics.median(float(text.split()[-1]) for text in outputs), 2)

    def up(self, stack: str) -> None:
        """Bring a stack up."""
        self.pulumi(stack, *UP)

    def down(self, stack: str) -> None:
        """Take a stack down."""
        self.pulumi(stack, *DOWN)

    def pulumi(self, stack: str, *arguments: str) -> None:
        """Run pulumi in the project; raise if it fails."""
        self.project.pulumi(*arguments, "-s", stack)


@contextlib.contextmanager
def raised_limits() -> Iterator[None]:
    """Raise this machine's kernel limits for the servers of many students, as on a lab host."""
    was = {path: path.read_text() for path in (PROC / key for key in kernel_limits.LIMITS)}
    for path, limit in zip(was, kernel_limits.LIMITS.values(), strict=True):
        path.write_text(str(max(limit, int(was[path]))))
    try:
        yield
    finally:
        for path, text in was.items():
            path.write_text(text)


def together(action: Callable[[T], object], things: Iterable[T]) -> None:
    """Call `action` for all things at once; return when all are done."""
    listed = list(things)
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(listed)) as pool:
        for future in [pool.submit(action, thing) for thing in listed]:
            future.result()


def environment_of(folder: pathlib.Path) -> pathlib.Path:
    """Return a Python environment with Ansible and the plotter; make it if missing."""
    # All measured programs run on the same Python.
    ours = os.path.realpath("/proc/self/exe")
    wanted = (pathlib.Path(__file__).parent / "requirements.txt").read_text() + ours
    stamp = folder / ".requirements"
    if not stamp.exists() or stamp.read_text() != wanted:
        python = str(folder / "bin" / "python")
        for argv in (
            [ours, "-m", "venv", "--clear", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--requirement", str(pathlib.Path(__file__).parent / "requirements.txt")],
        ):  # fmt: skip
            subprocess.run(argv, check=True)
        stamp.write_text(wanted)
    return folder
