"""The sandbox's commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cli import options, progress, stack
from core import errors
from sandbox import images, lifecycle, packages, systems
from sandbox.layout import Layout
from stacks import files


def chosen(system: str | None = None) -> Layout:
    """Return the chosen sandbox; each system has one of its own."""
    name = os.environ.get("GRAPPE_SANDBOX", "grappe")
    if system and (asked := systems.ALL[system]):
        for each in systems.ALL.values():
            name = name.removesuffix(each.suffix)
        name += asked.suffix
    return Layout(name)


def have_packages(*, browser: bool = False) -> None:
    """Install the packages that a sandbox needs.

    Raises:
        errors.HostError: The user is not root.
        errors.CommandError: apt failed.
    """
    if os.geteuid() != 0:
        raise errors.HostError(
            "a sandbox needs root: it is made of namespaces, mounts and a loop device",
            do="run this as root, or give a lab host of your own with ./lab new",
        )
    with progress.step("system packages") as step:
        installed = packages.install(browser=browser)
        step.detail = f"{len(installed)} installed" if installed else "all there"


def bring_up(layout: Layout, *, image: bool = True) -> bool:
    """Bring a sandbox up, step by step, with an image in it; return whether it is new."""
    if not lifecycle.status(layout).up and not lifecycle.has_fallen(layout):
        # Take a dead sandbox down before making a new one.
        lifecycle.down(layout)
    with progress.step("lab host") as step:
        step.report(layout.system.title + (", UFW and HAProxy" if layout.system.program else ""))
        for machine in layout.machines:
            images.disk(machine.system)
        fresh = lifecycle.up(layout, step.report)
        step.detail = lifecycle.versions(layout) if fresh else f"{layout.host} is up already"
    if not image:
        return fresh
    with progress.step("image") as step:
        step.report("standin (a stand-in: no YunoHost)")
        images.server_image()
        imported = lifecycle.import_image(layout)
        step.detail += "" if imported else ", there already"
    return fresh


def up_options(parser: options.Parser) -> None:
    """Add the options that the sandbox's commands share."""
    text = "the lab host's system; each has a sandbox of its own"
    parser.add_argument("--os", dest="system", choices=tuple(systems.ALL), help=text)


down_options = up_options


def up(system: str | None = None) -> int:
    """Bring the sandbox up."""
    have_packages()
    layout = chosen(system)
    # A bare host has no daemon to import an image.
    bring_up(layout, image=bool(layout.system.program))
    if layout != chosen():
        sys.stderr.write(f"For the other commands: export GRAPPE_SANDBOX={layout.name}\n")
    return 0


def labs_in(layout: Layout) -> list[str]:
    """Return the stacks of this folder that are up on a sandbox's lab host."""
    every = files.others(stack.folder(), "")
    return [
        name for name, values in every.items()
        if values.get("host") == layout.host_url and values.get("kind", "student") != "host"
        and not stack.is_unwritten(name) and len(stack.recorded(name)) > 1
    ]  # fmt: skip


def down(system: str | None = None) -> int:
    """Take the sandbox down and leave nothing of it."""
    layout = chosen(system)
    with progress.step("sandbox") as step:
        lifecycle.down(layout)
        step.detail = f"{layout.name} is down"
    return 0


def status_options(parser: options.Parser) -> None:
    """Add the options of `status`."""
    up_options(parser)
    options.as_json(parser)


def status(system: str | None, *, as_json: bool) -> int:
    """Show the sandbox's parts; exit 0 if it is up, else 1."""
    found = lifecycle.status(chosen(system))
    text = (
        f"sandbox      {found.name} is {'up' if found.up else 'down'}\n"
        f"namespaces   {', '.join(found.namespaces) or 'none'}\n"
        f"host         {found.host}\nworkstation  {found.workstation}\n"
        f"relay        {found.relay}\n"
    )
    progress.answer(found, text, as_json=as_json)
    return 0 if found.up else 1


def ssh_options(parser: options.Parser) -> None:
    """Add the options of `ssh`."""
    parser.add_argument("machine", choices=("host", "workstation", "relay"))
    up_options(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND...")


def ssh(machine: str, system: str | None, command: Sequence[str]) -> int:
    """Enter a machine of the sandbox, or run a command there."""
    words = [*command[1:]] if command[:1] == ["--"] else [*command]
    argv = lifecycle.enter(chosen(system), machine, words)
    os.execvp(argv[0], argv)  # noqa: S606 - the command is the user's own
