"""The demo's first step: turn a bare server into the lab host."""

from __future__ import annotations

import dataclasses
import sys

from cli import down, new, progress, stack
from components.lab_host import scripts
from engine import install_plugin
from engine.stack import Stack
from hosts import connections
from sandbox import machine
from sandbox.layout import Layout
from stacks.lab_host import LabHostSpec

NAME = "demo-host"


def bring_up(layout: Layout) -> None:
    """Turn the sandbox's bare server into a lab host, unless it is one already.

    It uses the host stack, or only its scripts if pulumi-command's plugin is unavailable.
    """
    if layout.system.program:
        return
    if not layout.made.exists():
        # The state is of an earlier sandbox, whose second disk had another name.
        forget()
    if not install_plugin.ensure("pulumi_command"):
        _run_scripts(layout)
    else:
        if not stack.file_of(NAME).exists():
            _new(layout)
        sys.stderr.write(f"… pulumi up -s {NAME}\n")
        _stack(layout).run(*stack.UP)
    layout.made.touch()


def forget() -> None:
    """Remove the stack of the lab host, whose machine the sandbox removes as a whole."""
    if stack.file_of(NAME).exists():
        down.forget(NAME, yes=True)
        stack.file_of(NAME).unlink()


def _new(layout: Layout) -> None:
    second = machine.second_disk(layout)
    new.new(new.Request(NAME, layout.host_url, lab_host=True, daemon="lxd", second_disk=second))


def _spec(layout: Layout) -> LabHostSpec:
    return LabHostSpec(
        owner=f"{stack.PROJECT}/{NAME}", host=layout.host_url, daemon="lxd", upgrade=True,
        second_disk=machine.second_disk(layout), overwrite=False,
    )  # fmt: skip


def _run_scripts(layout: Layout) -> None:
    with progress.step("bare server") as step:
        if layout.made.exists():
            step.detail = "a lab host already"
            return
        host = connections.connect(layout.host_url)
        for script in scripts.for_host(_spec(layout)):
            step.report(script.name)
            host.run(["sh", "-c", script.do], timeout=600)
        step.detail = "a lab host now, by the host stack's scripts"
    sys.stderr.write(
        "… pulumi-command's plugin cannot be installed here, so the lab host has no stack\n"
    )


def _stack(layout: Layout) -> Stack:
    """Return the stack, run on the workstation, since pulumi-command dials the server itself."""
    through = ("ip", "netns", "exec", layout.workstation, "env",
               f"GRAPPE_SSH_CONFIG={layout.workstation_ssh_config}")  # fmt: skip
    found = stack.select(NAME)
    stack.ready(found)
    return dataclasses.replace(found, through=through)
