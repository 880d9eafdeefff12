"""`./lab up` and `./lab preview`: run the engine on a stack."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cli import labs, new, options, progress, stack
from core import errors
from core.run import Run
from engine.stack import Stack
from stacks import files, settings


def up_options(parser: options.Parser) -> None:
    """Add the options of `up`."""
    options.stack(parser)
    text = "recreate servers (by default all) from the current image; this deletes their content"
    parser.add_argument("--rebuild", nargs="*", metavar="SERVER", help=text)
    options.yes(parser)


def up(name: str, rebuild: Sequence[str] | None = None, *, yes: bool = False) -> int:
    """Bring a stack up; go on where an interrupted run ended.

    Args:
        name: The stack.
        rebuild: The servers to recreate, all if empty; None for no server.
        yes: Whether to ask nothing.

    Raises:
        errors.BadInputError: The stack lacks a server to rebuild, or there is no terminal to
            confirm it.
        errors.CommandError: The run failed; its output shows why.
    """
    selected = stack.select(name)
    stack.ready(selected)
    labs.demand_valid(name)
    names: list[str] = []
    if rebuild is not None:
        names = _chosen(selected, rebuild)
        content = f"This deletes the content of {', '.join(names)}"
        question = f"Go on? {content}, and recreates the servers among them."
        if names and not progress.confirm(question, yes=yes):
            return 1
    have_id(selected)
    if not names and _is_unchanged(selected, Run(command="up", rebuild="")):
        return 0
    # The preflight stops a run that would lose any other content.
    stack.run(selected, *stack.UP, rebuild=",".join(names))
    return 0


preview_options = options.stack


def preview(name: str) -> int:
    """Show what `up` would do.

    Raises:
        errors.BadInputError: There is no such stack, or its file is invalid.
        errors.CommandError: The run failed; its output shows why.
    """
    selected = stack.select(name)
    stack.ready(selected)
    labs.demand_valid(name)
    if not _is_unchanged(selected, Run(command="preview")):
        stack.run(selected, "preview")
    return 0


def _is_unchanged(selected: Stack, this: Run) -> bool:
    """Find out whether there is nothing to do; a Ctrl-C ends it at once."""
    return stack.cancellable(this, lambda: stack.is_unchanged(selected, this, print))


def have_id(selected: Stack) -> None:
    """Give a lab that is older than ids its own; the run then marks its resources."""
    config = files.read(stack.folder(), selected.name)
    if config.get("id") or not config.get("host"):
        return
    # If the stack file has lost the line, the state knows the id.
    known = [
        str(item["inputs"].get("lab") or "")
        for item in stack.resources(selected)
        if "inputs" in item
    ]
    selected.set_plain(f"{settings.NAMESPACE}:id", next(filter(None, known), new.new_id()))
    sys.stderr.write(
        f"… stacks/Pulumi.{selected.name}.yaml: grappe:id is written, and marks this lab\n"
    )


def _chosen(selected: Stack, names: Sequence[str]) -> list[str]:
    """Return the servers to recreate, all if none is named, and the volumes that may go."""
    known = stack.servers(selected)
    if unknown := [name for name in names if name.partition("/")[0] not in known]:
        raise errors.BadInputError(
            f"{', '.join(unknown)} is not a server of the stack",
            seen=f"its servers: {', '.join(known) or 'none, it is not up'}",
        )
    return list(names or known)
