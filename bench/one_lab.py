"""Measure one lab by an expert's script, by Ansible and by Grappe: up, nothing to do, down."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import yaml

from bench import timing
from bench.testbed import DOWN, IMAGE, UP, Testbed

HERE = pathlib.Path(__file__).parent
NUMBER, STUDENT = 9, "bench"
BRIDGE, PROJECT, NET = f"gr-{NUMBER}", f"grappe-{STUDENT}", f"10.64.{NUMBER}"
OURS = ("grappe", "lab")
Times = dict[str, dict[str, list[float]]]


def run(testbed: Testbed, ansible: pathlib.Path, rounds: int) -> dict[str, Any]:
    """Return {contest, processor: {way: {up, nothing, down}}, loop: [seconds]}.

    `contest` has the medians in seconds, `processor` the medians of this machine's processor time,
    the lab host's included. The ways take turns, so that a slow machine slows them alike; the times
    of a constant loop show whether the machine's speed changed.
    """
    testbed.project.write(STUDENT, NUMBER, image=IMAGE)
    ways: dict[str, Callable[[str], None]] = {
        "expert": functools.partial(_expert, testbed),
        "ansible": functools.partial(_ansible, testbed, ansible),
        "grappe": functools.partial(_grappe, testbed),
        "lab": functools.partial(_lab, testbed),
    }
    times: Times = {way: {} for way in ways}
    worked: Times = {way: {} for way in ways}
    loop = []
    for _round in range(rounds):
        for way, act in ways.items():
            if way not in OURS:
                # Open the bridge in UFW for the others: Grappe's own runs do so themselves.
                _open_bridge(testbed, "allow")
            for phase in ("up", "nothing", "down"):
                action = "down" if phase == "down" else "up"
                loop.append(timing.loop())
                before = timing.processor()
                times[way].setdefault(phase, []).append(timing.seconds(act, action))
                worked[way].setdefault(phase, []).append(timing.processor() - before)
            if way not in OURS:
                _open_bridge(testbed, "delete allow")
    return {
        "contest": _medians(times), "processor": _medians(worked),
        "loop": [round(took, 2) for took in loop],
    }  # fmt: skip


def _medians(times: Times) -> dict[str, dict[str, float]]:
    return {
        way: {phase: timing.median(times) for phase, times in phases.items()}
        for way, phases in times.items()
    }


def beside(testbed: Testbed) -> dict[str, int]:
    """Return a bystander's counts during an untimed round of Grappe.

    A bystander cannot watch the other ways: their frontends hold the ports of its own.
    """
    testbed.up_bystander()
    with testbed.bystander() as watching:
        for action in ("up", "up", "down"):
            _grappe(testbed, action)
    testbed.down("bystander")
    return watching.seen


def _expert(testbed: Testbed, action: str) -> None:
    script = (HERE / "expert.sh").read_bytes()
    words = (action, str(NUMBER), STUDENT, IMAGE)
    testbed.host("bash", "-s", "--", *words, stdin=script)
    if action == "up":
        testbed.wait_for(STUDENT, NUMBER)


def _ansible(testbed: Testbed, environment: pathlib.Path, action: str) -> None:
    folder = testbed.project.folder / "ansible"
    folder.mkdir(exist_ok=True)
    inventory = folder / "inventory.yml"
    servers = [
        {"name": f"yuno{index + 1}", "address": f"{NET}.{10 + index}",
         "port": 22222 + 10 * (NUMBER - 1) + index,
         "domain": f"yuno{index + 1}.{STUDENT}.grappe.test"}
        for index in range(2)
    ]  # fmt: skip
    variables = {"project": PROJECT, "bridge": BRIDGE, "net": NET, "image": IMAGE,
                 "servers": servers}  # fmt: skip
    host = {testbed.layout.host: {"ansible_python_interpreter": "/usr/bin/python3"}}
    inventory.write_text(yaml.safe_dump({"lab": {"hosts": host, "vars": variables}}))
    options = f"-F {testbed.layout.ssh_config} -o ControlMaster=auto -o ControlPersist=60s"
    env = {**os.environ, "ANSIBLE_CONFIG": str(HERE / "ansible" / "ansible.cfg"),
           "ANSIBLE_SSH_ARGS": options, "ANSIBLE_HOME": str(folder)}  # fmt: skip
    argv = [str(environment / "bin" / "ansible-playbook"), "-i", str(inventory),
            str(HERE / "ansible" / f"{action}.yml")]  # fmt: skip
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    if action == "up":
        testbed.wait_for(STUDENT, NUMBER)


def _grappe(testbed: Testbed, action: str) -> None:
    testbed.pulumi(STUDENT, *(UP if action == "up" else DOWN))
    if action == "up":
        testbed.wait_for(STUDENT, NUMBER)


def _lab(testbed: Testbed, action: str) -> None:
    """Run one process that is program and plugin, instead of a plain pulumi."""
    testbed.project.lab(action, STUDENT, "--yes")
    if action == "up":
        testbed.wait_for(STUDENT, NUMBER)


def _open_bridge(testbed: Testbed, how: str) -> None:
    first, _space, rest = how.partition(" ")
    delete = "delete " if first == "delete" else ""
    verb = rest or first
    script = "; ".join(
        f"ufw {route}{delete}{verb} {interface} >/dev/null"
        for route, interface in (
            ("", f"in on {BRIDGE}"),
            ("route ", f"in on {BRIDGE}"),
            ("route ", f"out on {BRIDGE}"),
        )
    )
    testbed.host("sh", "-c", f"'{script}'")
