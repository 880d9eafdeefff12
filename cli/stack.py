"""A stack as its user knows it: its file, and thin commands over the engine's."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import secrets
import socket
import sys
from typing import Any

import yaml

from cli import environment, progress
from engine.stack import Stack
from providers import base, errors, wire
from providers.hosts import gateway
from providers.lxd import daemon, ownership
from stacks import golden, kinds, lab_host, settings, spec

PROJECT = "grappe"
UP = ("up", "--yes", "--skip-preview")
DOWN = ("destroy", "--yes", "--skip-preview")


def new(options: argparse.Namespace) -> int:
    """Write the stack file of a student, an image or a host and make the stack, nothing else."""
    path = file_of(options.name)
    if path.exists():
        raise errors.BadInputError(
            f"{path.relative_to(environment.ROOT)} exists already",
            do=f"edit it, or remove it first; then: pulumi preview -s {options.name}",
        )
    config = {f"{settings.NAMESPACE}:{key}": value for key, value in _values(options).items()}
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    try:
        planned = kinds.parse(texts, project=PROJECT, stack=options.name)
    except wire.Mistakes as mistakes:
        raise errors.BadInputError(base.tell(mistakes.mistakes)) from mistakes
    path.write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    try:
        stack = select(options.name)
        if options.post_install:
            key = f"{settings.NAMESPACE}:{settings.PASSWORD}"
            stack.set_secret(key, secrets.token_urlsafe(12))
    except BaseException:
        path.unlink()
        raise
    sys.stdout.write(f"stacks/{path.name}\n{_summary(planned)}")
    if options.post_install:
        say = f"pulumi config get {settings.NAMESPACE}:{settings.PASSWORD} -s {options.name}"
        sys.stderr.write(f"Its password:  {say}\n")
    sys.stderr.write(
        f"See the plan: ./lab preview {options.name}    Bring it up: ./lab up {options.name}\n"
    )
    return 0


def _values(options: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if options.recipe or options.lab_host:
        values["kind"] = "image" if options.recipe else "host"
    for key in ("host", "number", "recipe", "alias", "workstation", "image", "domain", "login",
                "second_disk", "daemon"):  # fmt: skip
        if getattr(options, key):
            values[key] = getattr(options, key)
    if options.relay:
        values["tunnel"] = {"relay": options.relay}
    return values


def _summary(planned: spec.LabSpec | golden.GoldenSpec | lab_host.LabHostSpec) -> str:
    if isinstance(planned, golden.GoldenSpec):
        return f"  {planned.alias}  {planned.recipe.description}\n"
    if isinstance(planned, lab_host.LabHostSpec):
        return f"  {planned.host}  {planned.daemon}, UFW, HAProxy\n"
    return "".join(
        f"  {server.name}  {server.domain}  ssh port {server.port}\n" for server in planned.servers
    )


def up(options: argparse.Namespace) -> int:
    """Bring a stack up; go on where an interrupted run ended."""
    stack = select(options.name)
    unlock(stack)
    if options.rebuild is not None:
        _mark(stack, options.rebuild)
    stack.run(*UP)
    return 0


def _mark(stack: Stack, names: list[str]) -> None:
    """Mark a stack's servers, all where none is named: the next `up` makes them anew."""
    deployment = stack.export().get("deployment") or {}
    known = {
        item["inputs"]["name"]: item["inputs"]
        for item in deployment.get("resources", [])
        if item["type"].endswith("/lxd:Container")
    }
    if unknown := [name for name in names if name not in known]:
        raise errors.BadInputError(
            f"{', '.join(unknown)} is not a server of the stack",
            seen=f"its servers: {', '.join(known) or 'none, it is not up'}",
        )
    for name in names or known:
        place, path = known[name], f"instances/{name}"
        lxd = daemon.on(gateway.connect(place["host"]))
        try:
            found = lxd.get(path, project=place["project"])
        except daemon.AbsentError:
            continue
        ownership.demand(found, place["owner"], f"the container {place['project']}/{name}")
        marks = {"config": {daemon.STAGE: daemon.ANEW}}
        lxd.change("PATCH", path, marks, project=place["project"])


def preview(options: argparse.Namespace) -> int:
    """Show what `up` would do."""
    stack = select(options.name)
    unlock(stack)
    stack.run("preview")
    return 0


def down(options: argparse.Namespace) -> int:
    """Take a stack down; its file stays."""
    stack = select(options.name)
    unlock(stack)
    stack.run(*DOWN)
    return 0


def forget(options: argparse.Namespace) -> int:
    """Drop a stack's state, for a lab host that is gone for good; touch no host."""
    question = (
        f"Forget everything recorded of {options.name}? What is left of it on its old host stays "
        "there, and Grappe will not find it again."
    )
    if not options.yes and not sys.stdin.isatty():
        raise errors.BadInputError(f"{question} Say --yes.")
    if not progress.ask(question, yes=options.yes):
        return 1
    stack = select(options.name)
    unlock(stack)
    state = stack.export()
    gone = dict(state.get("deployment") or {})
    kept = [item for item in gone.get("resources", []) if item["type"] == "pulumi:pulumi:Stack"]
    for item in kept:
        item.pop("outputs", None)
    gone["resources"], gone["pending_operations"] = kept, []
    stack.replace({**state, "deployment": gone})
    sys.stderr.write(f"{options.name} is forgotten; ./lab up {options.name} makes it anew\n")
    return 0


def select(name: str) -> Stack:
    """Return a stack of this folder; one that has only its file is made."""
    environment.apply()
    if not file_of(name).exists():
        known = sorted(
            path.name.split(".")[1] for path in file_of("*").parent.glob("Pulumi.*.yaml")
        )
        raise errors.BadInputError(
            f"there is no stack {name}: stacks/Pulumi.{name}.yaml is missing",
            seen=f"stacks: {', '.join(known) or 'none'}",
            do=f"./lab new {name} --number N --host URL",
        )
    stack = Stack(name, environment.ROOT)
    state = environment.STATE / ".pulumi" / "stacks" / PROJECT / f"{name}.json"
    if "PULUMI_BACKEND_URL" in os.environ or not state.exists():
        stack.make()
    return stack


def unlock(stack: Stack) -> None:
    """Clear the lock of a run of this machine whose process is gone."""
    for path in sorted((environment.STATE / ".pulumi" / "locks").rglob(f"{stack.name}/*.json")):
        held = json.loads(path.read_text())
        here = held.get("hostname") == socket.gethostname()
        if here and not pathlib.Path("/proc", str(held.get("pid"))).exists():
            sys.stderr.write(f"… clearing the lock of a run that ended (process {held['pid']})\n")
            stack.cancel()
            return


def file_of(name: str) -> pathlib.Path:
    """Return where a stack's file is."""
    return environment.ROOT / "stacks" / f"Pulumi.{name}.yaml"
