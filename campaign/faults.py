"""Faults during a run: how each begins, and how it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

from campaign.descendants import descendants
from hosts import command
from sandbox import machine
from sandbox.inventory import difference
from sandbox.project_copy import ProjectCopy

# Seconds of a fault that ends before its run.
LASTS = 5.0


@dataclasses.dataclass
class Scene:
    """A run under way, and the sandbox that it acts on."""

    project: ProjectCopy
    engine: subprocess.Popen[bytes]

    def on_host(self, script: str) -> None:
        """Run a script on the lab host by a connection of its own, and ignore failures."""
        with contextlib.suppress(Exception):
            machine.ssh(self.project.layout, script, timeout=30)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        begin: Causes the fault.
        end: Repairs the host, as a teacher would, whatever the run did meanwhile.
        lasts: Seconds between the two, if the run goes on that long.
    """

    begin: Callable[[Scene], None]
    end: Callable[[Scene], None] = lambda _scene: None
    lasts: float = 0.0


def _script(begin: str, end: str = "", lasts: float = 0.0) -> Fault:
    return Fault(lambda scene: scene.on_host(begin), lambda scene: scene.on_host(end), lasts)


def _kill_below(*words: str) -> Callable[[Scene], None]:
    """Return a function that kills processes of the run by a word of their command line."""

    def kill(scene: Scene) -> None:
        for pid, line in descendants(scene.engine.pid).items():
            if any(word in line for word in words):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    return kill


def _cut_power(scene: Scene) -> None:
    """Boot the lab host from a copy of its disk, without unwritten data."""
    layout = scene.project.layout
    host = layout.lab_host
    copy = host.disk.with_suffix(".copy")
    machine.freeze(host, frozen=True)
    command.execute(["cp", "--sparse=always", str(host.disk), str(copy)], timeout=120)
    machine.freeze(host, frozen=False)
    machine.kill(host)
    copy.rename(host.disk)
    machine.start(layout, host)


_DROP_IN = "/etc/systemd/system/haproxy.service.d"
_FULL = "/var/tmp/full"  # noqa: S108 - on the sandbox's lab host
FAULTS = {
    "engine killed": Fault(lambda scene: scene.engine.send_signal(signal.SIGKILL)),
    "plugin killed": Fault(_kill_below("pulumi-resource-pulumi-python", "pulumi.dynamic")),
    "program killed": Fault(_kill_below("pulumi-language-python")),
    "worker killed": _script("pkill -9 -f 'python that [a]nswers on a host'"),
    "SSH cut": _script("pkill -9 -f '^sshd: .*@notty'"),
    "LXD stopped": _script(
        "systemctl stop lxd.socket lxd", "systemctl start lxd.socket lxd", LASTS
    ),
    "LXD restarted": _script("systemctl restart lxd"),
    "LXD hung": _script("pkill -STOP -x lxd", "pkill -CONT -x lxd", LASTS),
    "reload fails": _script(
        f"mkdir -p {_DROP_IN}; printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' > "
        f"{_DROP_IN}/fails.conf; systemctl daemon-reload",
        f"rm -r {_DROP_IN}; systemctl daemon-reload", LASTS,
    ),
    "iptables-restore fails": _script(
        "printf '#!/bin/sh\\nexit 1\\n' > /usr/local/sbin/iptables-restore; "
        "chmod +x /usr/local/sbin/iptables-restore", "rm /usr/local/sbin/iptables-restore", LASTS,
    ),
    "disk full": _script(
        f"fallocate -l $(($(df --output=avail -B1 / | tail -n 1) - 1000000)) {_FULL}; "
        f"dd if=/dev/zero of={_FULL}.2 bs=64k count=64 2>/dev/null", f"rm -f {_FULL} {_FULL}.2",
        LASTS,
    ),
    "power cut": Fault(_cut_power),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a run with a fault.

    Attributes:
        stack: The stack.
        fault: Its name.
        seconds: The seconds of the run before the fault.
        ended: The result of the run itself: `done` or `failed`.
        lost: The faults after the next `up` and after `down`; empty without any.
    """

    stack: str
    fault: str
    seconds: float
    ended: str
    lost: str


def run(
    project: ProjectCopy,
    stack: str,
    fault: str,
    seconds: float,
    inventory: Callable[[], dict[str, str]],
) -> Outcome:
    """Cause a fault during an `up`; then bring the stack up, check it, take it down.

    Args:
        project: The project; the stack is down.
        stack: The stack, a student's.
        fault: One of `FAULTS`.
        seconds: The seconds before the fault.
        inventory: Takes the hosts' inventory.
    """
    before = inventory()
    # A fault may not lose data from before the run.
    machine.ssh(project.layout, "sync", timeout=60)
    log = project.folder / f"{stack}-{fault.replace(' ', '-')}.log"
    engine = project.start(stack, log)
    scene, kind = Scene(project, engine), FAULTS[fault]
    time.sleep(seconds)
    try:
        kind.begin(scene)
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.wait(kind.lasts)
    finally:
        kind.end(scene)
    try:
        engine.wait(180)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()
    ended = "done" if engine.returncode == 0 else "failed"
    lost = _after(project, stack, log)
    after = inventory()
    lost += difference(before, after)
    lost += unhandled(log.read_text(errors="replace"))
    return Outcome(stack, fault, seconds, ended, "; ".join(lost))


def unhandled(text: str) -> list[str]:
    """Return the tracebacks and bug reports in a run's output, each with the text behind it."""
    signs = ("Traceback", "a bug in Grappe")
    return [text[text.index(sign) :][:2000] for sign in signs if sign in text]


def _after(project: ProjectCopy, stack: str, log: pathlib.Path) -> list[str]:
    """Bring it up, check it, expect an empty plan, take it down; return the failures."""
    lost = []
    for words in (("up", stack), ("check", stack), ("preview", stack), ("down", stack, "--yes")):
        try:
            said = project.lab(*words)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            said = str(error)
            lost.append(f"{words[0]} failed")
        if words[0] == "preview" and "to update" in said:
            lost.append("something was left to do")
        with log.open("a") as stream:
            stream.write(f"\n--- {' '.join(words)}\n{said}")
    return lost
