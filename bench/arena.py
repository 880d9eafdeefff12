"""The sandbox that is measured on: its own, with an image, and a copy of the project."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

from components.lab_host import scripts
from providers import errors
from providers.hosts import command
from sandbox import layout, trial

T = TypeVar("T")
IMAGE = "bench"
PROC = pathlib.Path("/proc/sys")
UP = ("up", "--yes", "--skip-preview")
# Destroying needs no look first: what is gone already is well.
DOWN = ("destroy", "--yes", "--skip-preview", "--refresh=false")
ANSWER_SECONDS = 120


class Arena:
    """A lab host, the workstation, and the project that acts on them."""

    def __init__(self, box: layout.Layout, project: trial.Trial) -> None:
        self.box, self.project = box, project

    def host(self, *argv: str, stdin: bytes = b"", timeout: float = 600) -> str:
        """Run argv on the lab host; it must succeed."""
        full = ["ssh", "-F", str(self.box.ssh_config), self.box.host, "--", *argv]
        done = command.execute(full, stdin=stdin, timeout=timeout)
        if not done.ok:
            raise errors.CommandError(f"`{' '.join(argv)[:80]}` failed", seen=done.tail())
        return done.stdout

    def wait_for(self, student: str, number: int, servers: int = 2) -> None:
        """Return when every way to a student's servers is answered by the server itself."""
        ways = [
            (f"yuno{place + 1}", way)
            for place in range(servers)
            for way in ("ssh", "http", "https")
        ]
        together(lambda way: self._wait_for(student, number, *way), ways)

    def _wait_for(self, student: str, number: int, server: str, way: str) -> None:
        command.wait_until(
            lambda: self._answers(student, number, server, way),
            what=f"an answer of {student}'s {server} by {way}", timeout=ANSWER_SECONDS, pause=0,
        )  # fmt: skip

    def _answers(self, student: str, number: int, server: str, way: str) -> bool:
        if way == "ssh":
            port = 22222 + 10 * (number - 1) + int(server.removeprefix("yuno")) - 1
            script = f"exec 3<>/dev/tcp/{layout.HOST_ADDRESS}/{port} && head -c 3 <&3"
            argv = ["bash", "-c", script]
        else:
            domain = f"{server}.{student}.grappe.test"
            address = layout.HOST_ADDRESS
            argv = ["curl", "-sk", "--max-time", "2", "--resolve", f"{domain}:80:{address}",
                    "--resolve", f"{domain}:443:{address}", f"{way}://{domain}/"]  # fmt: skip
        done = command.execute(["ip", "netns", "exec", self.box.workstation, *argv], timeout=10)
        return done.stdout.startswith("SSH" if way == "ssh" else server)

    def up_bystander(self) -> None:
        """Bring up the lab of a student whom others must not disturb."""
        self.project.write("bystander", 99, image=IMAGE, servers=[{"name": "yuno1"}])
        self.up("bystander")

    def up(self, stack: str) -> None:
        """Bring a stack up."""
        self.pulumi(stack, *UP)

    def down(self, stack: str) -> None:
        """Take a stack down."""
        self.pulumi(stack, *DOWN)

    def pulumi(self, stack: str, *arguments: str) -> None:
        """Run pulumi in the project; it must succeed."""
        self.project.pulumi(*arguments, "-s", stack)


class Bystander:
    """Somebody who loads a page of another student's all the while."""

    def __init__(self, arena: Arena, student: str = "bystander") -> None:
        self.requests = self.failures = 0
        self._end = threading.Event()
        self._arena, self._domain = arena, f"yuno1.{student}.grappe.test"
        self._thread = threading.Thread(target=self._load)

    @property
    def seen(self) -> dict[str, int]:
        """How many requests there were, and how many failed."""
        return {"requests": self.requests, "failures": self.failures}

    def time(self, count: int) -> float:
        """Return the median time of a request, connection included, in milliseconds."""
        argv = [*self._argv(), "--write-out", "\n%{time_total}"]
        said = [command.execute(argv, timeout=15).stdout for _turn in range(count)]
        return round(1000 * statistics.median(float(text.split()[-1]) for text in said), 2)

    def _argv(self) -> list[str]:
        address = layout.HOST_ADDRESS
        return ["ip", "netns", "exec", self._arena.box.workstation, "curl", "-s", "--max-time",
                "10", "--resolve", f"{self._domain}:80:{address}",
                f"http://{self._domain}/"]  # fmt: skip

    def _load(self) -> None:
        argv = self._argv()
        while not self._end.wait(0.05):
            self.requests += 1
            self.failures += not command.execute(argv, timeout=15).stdout.startswith("yuno1")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Let this machine's kernel hold the servers of many students, as a lab host's does."""
    was = {path: path.read_text() for path in (PROC / key for key in scripts.LIMITS)}
    for path, limit in zip(was, scripts.LIMITS.values(), strict=True):
        path.write_text(str(max(limit, int(was[path]))))
    try:
        yield
    finally:
        for path, text in was.items():
            path.write_text(text)


def together(action: Callable[[T], object], things: Iterable[T]) -> None:
    """Do the same with many things at the same time; return when all are done."""
    listed = list(things)
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(listed)) as pool:
        for future in [pool.submit(action, thing) for thing in listed]:
            future.result()


def environment_of(folder: pathlib.Path) -> pathlib.Path:
    """Return a python environment with what is measured beside us; make it at need."""
    wanted = (pathlib.Path(__file__).parent / "requirements.txt").read_text()
    stamp = folder / ".requirements"
    if not stamp.exists() or stamp.read_text() != wanted:
        python = str(folder / "bin" / "python")
        for argv in (
            [os.path.realpath("/proc/self/exe"), "-m", "venv", "--clear", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--requirement", str(pathlib.Path(__file__).parent / "requirements.txt")],
        ):  # fmt: skip
            subprocess.run(argv, check=True)
        stamp.write_text(wanted)
    return folder
