"""`./lab rename`: a lab goes on under another name."""

from __future__ import annotations

import argparse
import sys

from cli import environment, new, stack
from engine.stack import Stack
from providers import errors
from stacks import files, settings


def run(options: argparse.Namespace) -> int:
    """Rename a stack, and write down what followed from its name; the next `up` marks it anew.

    Raises:
        errors.BadInputError: There is no such stack, or the new name is taken.

    """
    old, name = options.old, options.name
    done = not stack.file_of(old).exists() and stack.file_of(name).exists()
    if not done and stack.file_of(name).exists():
        raise errors.BadInputError(
            f"stacks/Pulumi.{name}.yaml exists already", do="choose another name"
        )
    made = stack.select(name if done else old)
    stack.ready(made)
    config = files.read(stack.folder(), made.name)
    if config.get("kind", "student") != "student":
        raise errors.BadInputError(
            f"{made.name} is no student's lab: what it has made is called after it",
            do="take it down, and make one with the new name",
        )
    if not config.get("student"):
        made.set_plain(f"{settings.NAMESPACE}:student", old)
    if not config.get("id"):
        made.set_plain(f"{settings.NAMESPACE}:id", new.new_id())
        _mark_by_name(made, old, done=done)
    if not done:
        made.rename(name)
    sys.stderr.write(
        f"{old} is {name} now; its servers, ports and domains stay as the stack file says.\n"
        f"Mark it so on its host: ./lab up {name}\n"
    )
    return 0


def _mark_by_name(made: Stack, old: str, *, done: bool) -> None:
    """Bring a lab that is older than ids up under the old name once, so that it carries its id."""
    if not stack.servers(made):
        return
    under = made
    if done:
        made.rename(old)
        under = Stack(old, environment.ROOT)
    try:
        under.run(*stack.UP)
    finally:
        if done:
            under.rename(made.name)
