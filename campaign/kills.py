"""Kill the engine at every moment of an `up`, then run `down` alone."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable

from sandbox.inventory import difference
from sandbox.project_copy import ProjectCopy


@dataclasses.dataclass(frozen=True)
class Kill:
    """One killed run.

    Attributes:
        stack: The stack.
        seconds: The seconds of the run before the kill.
        made: The number of resources in its state then.
        left: What `down` left; empty if the hosts are as before.
    """

    stack: str
    seconds: float
    made: int
    left: str


def run(
    project: ProjectCopy,
    stack: str,
    moments: int,
    inventory: Callable[[], dict[str, str]],
    report: Callable[[str], None],
) -> list[Kill]:
    """Kill `up` of a stack at moments spread over its length; return the results.

    Args:
        project: The project; the stack's file exists, and the stack is down.
        stack: The stack.
        moments: The number of moments.
        inventory: Takes the hosts' inventory.
        report: Called with progress.
    """
    before = inventory()
    started = time.monotonic()
    project.up(stack)
    length = time.monotonic() - started
    project.lab("down", stack, "--yes")
    if left := difference(before, inventory()):
        message = f"after a run that was not killed: {'; '.join(left)}"
        raise AssertionError(message)
    kills = []
    for number in range(moments):
        seconds = round(length * (number + 0.5) / moments, 2)
        made = _kill(project, stack, seconds)
        said = project.lab("down", stack, "--yes")
        lost = "; ".join(difference(before, inventory()))
        kills.append(Kill(stack, seconds, made, lost))
        report(
            f"{stack}: {number + 1} of {moments}, after {seconds:.1f} s: {lost or 'nothing left'}"
        )
        if lost:
            project.folder.joinpath(f"{stack}-{number}.log").write_text(said)
            break
    return kills


def _kill(project: ProjectCopy, stack: str, seconds: float) -> int:
    """Start an `up`, kill its engine, and return the number of resources in its state."""
    engine = project.start(stack, project.folder / "killed.log")
    time.sleep(seconds)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    said = project.run("pulumi", "stack", "export", "-s", stack)
    return said.count('"urn":')
