"""Run many stacks at once, each with its own action in each round, beside bystanders."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
import signal
import subprocess
import time
from collections.abc import Callable

from sandbox import machine
from sandbox.bystander import Bystander
from sandbox.inventory import difference
from sandbox.project_copy import ProjectCopy

TOGETHER = 4
FIRST_NUMBER = 100
BYSTANDER = "bystander"
_RELOADS = "journalctl -q -u haproxy -o cat | grep -c Reloading; true"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of all rounds.

    Attributes:
        runs: The number of runs, by action.
        failed: The failed runs that nobody had killed, with the stack and the last line.
        lost: The faults at the end.
        reloads: The number of HAProxy's reloads.
        read: The bystander's counts.
    """

    runs: dict[str, int]
    failed: list[str]
    lost: list[str]
    reloads: int
    read: dict[str, object]


def run(
    project: ProjectCopy,
    stacks: int,
    rounds: int,
    inventory: Callable[[], dict[str, str]],
    *,
    report: Callable[[str], None],
    seed: int,
) -> Result:
    """Run rounds; at the end bring everything up, check it, and take it down.

    Args:
        project: The project.
        stacks: The number of stacks.
        rounds: The number of rounds; each brings up, changes, kills or takes down every stack.
        inventory: Takes the hosts' inventory.
        report: Called with progress.
        seed: The random seed of the actions.
    """
    dice = random.Random(seed)  # noqa: S311 - the same again by its seed
    before = inventory()
    names = [f"lab{number}" for number in range(1, stacks + 1)]
    for number, name in enumerate([*names, BYSTANDER], FIRST_NUMBER):
        project.write(name, number, servers=[{"name": "yuno1"}])
    project.up(BYSTANDER)
    reloads = _reloads(project)
    page = f"yuno1.{BYSTANDER}.grappe.test"
    runs: dict[str, int] = {}
    failed: list[str] = []
    with (
        Bystander(project.layout, page, pause=0.2, keeps=True) as bystander,
        concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool,
    ):
        for turn in range(rounds):
            actions = [(name, dice.choice(("up", "up", "change", "kill", "down")), dice.random())
                       for name in names]  # fmt: skip
            for action in actions:
                runs[action[1]] = runs.get(action[1], 0) + 1
            failed += filter(None, pool.map(lambda action: _do(project, *action), actions))
            report(f"round {turn + 1} of {rounds}: {len(failed)} failed")
        lost = list(filter(None, pool.map(lambda name: _settle(project, name), names)))
    counted = _reloads(project) - reloads
    for name in (*names, BYSTANDER):
        project.lab("down", name, "--yes")
    after = inventory()
    lost += difference(before, after)
    return Result(runs, failed, lost, counted, bystander.seen)


def _do(project: ProjectCopy, name: str, what: str, chance: float) -> str:
    """Run one action on a stack; return the reason if it failed unkilled."""
    if what == "kill":
        engine = project.start(name, project.folder / f"{name}.log")
        time.sleep(chance * 8)
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        return ""
    if what == "change":
        memory = f"{300 + int(chance * 100)}MiB"
        project.write(name, FIRST_NUMBER + int(name.removeprefix("lab")) - 1,
                    servers=[{"name": "yuno1", "limits": {"memory": memory}}])  # fmt: skip
    try:
        project.lab(*(("down", name, "--yes") if what == "down" else ("up", name)))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return f"{name} {what}: {str(error)[-400:]}"
    return ""


def _settle(project: ProjectCopy, name: str) -> str:
    """Bring a stack up and check it; a second `up` must change nothing."""
    try:
        project.lab("up", name)
        project.lab("check", name)
        project.up(name, "--expect-no-changes")
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return f"{name}: {str(error)[-400:]}"
    return ""


def _reloads(project: ProjectCopy) -> int:
    return int(machine.ssh(project.layout, _RELOADS).stdout.strip() or 0)
