"""The demo's first step: a bare server becomes the lab host, as the host stack has it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from cli import environment, progress, stack
from components.lab_host import scripts
from engine import plugin
from providers import errors
from providers.hosts import gateway
from sandbox import layout, machine
from stacks.lab_host import LabHostSpec

NAME = "demo-host"


def bring_up(box: layout.Layout, *, fresh: bool) -> None:
    """Make the sandbox's bare server a lab host; one that is one already stays as it is.

    By the host stack; where pulumi-command's plugin cannot be had, by its scripts.
    """
    if not is_bare(box):
        return
    if not plugin.ensure("pulumi_command"):
        stack.file_of(NAME).unlink(missing_ok=True)
        _run_scripts(box)
        return
    if fresh or not stack.file_of(NAME).exists():
        # Its second disk has another name each time.
        stack.file_of(NAME).unlink(missing_ok=True)
        unset = ("recipe", "alias", "workstation", "image", "domain", "login", "relay")
        stack.new(argparse.Namespace(
            name=NAME, lab_host=True, host=box.host_url, daemon="lxd", number=0,
            second_disk=machine.second_disk(box), post_install=False, **dict.fromkeys(unset, ""),
        ))  # fmt: skip
    _pulumi(box, "up")


def leave(box: layout.Layout) -> None:
    """Undo what was done to the server, as far as that is safe."""
    if not is_bare(box):
        return
    if stack.file_of(NAME).exists():
        _pulumi(box, "destroy")
        return
    host = gateway.connect(box.host_url)
    for script in reversed(scripts.of(_spec(box))):
        host.run(["sh", "-c", script.undo], timeout=600)


def is_bare(box: layout.Layout) -> bool:
    """Whether the sandbox's lab host was a bare server when it was new."""
    return not box.system.program


def _spec(box: layout.Layout) -> LabHostSpec:
    return LabHostSpec(
        owner=f"{stack.PROJECT}/{NAME}", host=box.host_url, daemon="lxd", upgrade=True,
        second_disk=machine.second_disk(box), overwrite=False,
    )  # fmt: skip


def _run_scripts(box: layout.Layout) -> None:
    with progress.step("bare server") as step:
        host = gateway.connect(box.host_url)
        if host.run(["test", "-e", "/var/lib/grappe-host"], check=False).ok:
            step.detail = "a lab host already"
            return
        for script in scripts.of(_spec(box)):
            step.say(script.name)
            host.run(["sh", "-c", script.do], timeout=600)
        step.detail = "a lab host now, by the host stack's scripts"
    sys.stderr.write(
        "… pulumi-command's plugin cannot be had here, so there is no stack of the lab host\n"
    )


def _pulumi(box: layout.Layout, action: str) -> None:
    """Run pulumi on the workstation: pulumi-command dials the server itself, through no other."""
    sys.stderr.write(f"… pulumi {action} -s {NAME}\n")
    argv = ["ip", "netns", "exec", box.workstation, "pulumi", action, "--yes", "--skip-preview",
            "-s", NAME]  # fmt: skip
    env = {**os.environ, "GRAPPE_SSH_CONFIG": str(box.workstation_ssh_config)}
    with subprocess.Popen(
        argv, cwd=environment.ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        text=True,
    ) as running:  # fmt: skip
        for line in running.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
    if running.returncode:
        raise errors.CommandError(f"`pulumi {action} -s {NAME}` failed, as said above")
