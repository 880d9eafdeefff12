"""The demo's first step: a bare server becomes the lab host, as the host stack has it."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from cli import progress, stack
from components.lab_host import scripts
from engine import plugin
from engine.stack import Stack
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
    sys.stderr.write(f"… pulumi up -s {NAME}\n")
    _stack(box).run(*stack.UP)


def leave(box: layout.Layout) -> None:
    """Undo what was done to the server, as far as that is safe."""
    if not is_bare(box):
        return
    if stack.file_of(NAME).exists():
        _stack(box).run(*stack.DOWN)
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


def _stack(box: layout.Layout) -> Stack:
    """Return the stack, run on the workstation: pulumi-command dials the server itself."""
    through = ("ip", "netns", "exec", box.workstation, "env",
               f"GRAPPE_SSH_CONFIG={box.workstation_ssh_config}")  # fmt: skip
    return dataclasses.replace(stack.select(NAME), through=through)
