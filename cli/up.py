"""`./lab up` and `./lab preview`."""

from __future__ import annotations

import argparse
import os
import sys

from cli import new, progress, stack
from engine.stack import Stack
from providers import errors
from providers.hosts import gateway
from providers.lxd import daemon, ownership
from providers.lxd.container.model import ContainerSpec
from providers.preflight import resource as preflight
from stacks import files, settings


def up(options: argparse.Namespace) -> int:
    """Bring a stack up; go on where an interrupted run ended.

    Raises:
        errors.BadInputError: A server to rebuild is none of the stack's, or nobody could be asked.
        errors.CommandError: The run failed, and has said why.

    """
    made = stack.select(options.name)
    stack.ready(made)
    names = None
    if options.rebuild is not None:
        names = _chosen(made, options.rebuild)
        if names and not progress.confirm(_question(names), yes=options.yes):
            return 1
        _mark(made, names)
    _have_id(made)
    # The preflight stops the run before the content of any other server would go.
    os.environ[preflight.REBUILD] = ",".join(names or ())
    made.run(*stack.UP)
    return 0


def preview(options: argparse.Namespace) -> int:
    """Show what `up` would do."""
    made = stack.select(options.name)
    stack.ready(made)
    made.run("preview")
    return 0


def _question(names: list[str]) -> str:
    return f"Make {', '.join(names)} anew? What is in them goes."


def _have_id(made: Stack) -> None:
    """Give a lab that is older than ids its own; the run then marks what it has made."""
    if not files.read(stack.folder(), made.name).get("id"):
        made.set_plain(f"{settings.NAMESPACE}:id", new.new_id())
        sys.stderr.write(
            f"… stacks/Pulumi.{made.name}.yaml: grappe:id is new, and marks this lab\n"
        )


def _chosen(made: Stack, names: list[str]) -> list[str]:
    """Return the servers to make anew, all where none is named."""
    known = stack.servers(made)
    if unknown := [name for name in names if name not in known]:
        raise errors.BadInputError(
            f"{', '.join(unknown)} is not a server of the stack",
            seen=f"its servers: {', '.join(known) or 'none, it is not up'}",
        )
    return names or list(known)


def _mark(made: Stack, names: list[str]) -> None:
    """Mark servers: the next `up` makes them anew."""
    known = stack.servers(made)
    lab = str(files.read(stack.folder(), made.name).get("id") or "")
    for name in names:
        place, path = known[name], f"instances/{name}"
        lxd = daemon.on(gateway.connect(place["host"]))
        try:
            found = lxd.get(path, project=place["project"])
        except daemon.AbsentError:
            continue
        whose = ContainerSpec(
            host=place["host"], owner=place["owner"], name=name, lab=lab,
            project=place["project"], image="-", network="-", address="-",
        )  # fmt: skip
        ownership.demand(found, whose, f"the container {place['project']}/{name}")
        marks = {"config": {daemon.STAGE: daemon.ANEW}}
        lxd.change("PATCH", path, marks, project=place["project"])
