"""A stack of the user: its file, its state, and the engine's commands on it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import difflib
import fcntl
import json
import os
import pathlib
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from classroom import class_file
from cli import environment
from core import errors, lifetime
from core.run import Run
from engine import passphrase
from engine.stack import Stack
from engine.state import State
from hosts import command, connections, url
from stacks import files

PROJECT = "grappe"
UP = ("up", "--yes", "--skip-preview")
# Seconds after which a machine that ran nothing here counts as gone, such as one installed again.
RECENT_SECONDS = 30 * 86400
MACHINE_ID = pathlib.Path("/etc/machine-id")
# Seconds until the plugin of a killed engine has ended.
LAST_SECONDS = 2.5
# Seconds in which the engine of a killed process ends; two on a machine with nothing else to do.
ENDING_SECONDS = 15
DOWN = ("destroy", "--yes", "--skip-preview")


def folder() -> pathlib.Path:
    """Return the folder of the stack files."""
    return environment.ROOT / "stacks"


def file_of(name: str) -> pathlib.Path:
    """Return the path of a stack's file."""
    return files.path_of(folder(), name)


def write(name: str, text: str) -> None:
    """Write a stack file at once, so that an interruption leaves none or the whole."""
    path = file_of(name)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole.write_text(text)
        whole.replace(path)
    except OSError as error:
        whole.unlink(missing_ok=True)
        raise errors.GrappeError(
            f"stacks/{path.name} cannot be written", seen=error.strerror or str(error),
            do="make room, or give yourself the right to write in stacks/",
        ) from error  # fmt: skip


def state_of(name: str) -> State:
    """Return the files of a stack's state."""
    return State(environment.STATE, PROJECT, name)


@contextlib.contextmanager
def numbering() -> Iterator[None]:
    """Let one command at a time choose numbers and write stack files in this folder."""
    path = environment.ROOT / ".state" / "numbering.lock"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # Over NFS only a file that is open for writing can be locked.
    with path.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("… waits for another command that writes stack files here\n")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def select(name: str) -> Stack:
    """Return a stack of this folder; make one that has only its file.

    Raises:
        errors.BadInputError: It has no file, an unreadable one, or one with a truncated secret.
        errors.GrappeError: Its state is truncated.
    """
    if not file_of(name).exists():
        known = files.names(folder())
        near = difflib.get_close_matches(name.lower(), known, n=1)
        raise errors.BadInputError(
            f"there is no stack {name}: stacks/Pulumi.{name}.yaml is missing",
            seen=f"stacks: {', '.join(known) or 'none'}",
            do=f"did you mean {near[0]}? A new one: {_new(name)}" if near else _new(name),
        )
    _demand_whole_secrets(name)
    environment.apply()
    stack = Stack(name, environment.ROOT)
    if not is_here():
        stack.make()
    elif state_of(name).path.exists():
        state_of(name).load()
        state_of(name).demand_whole()
    elif not state_of(name).create():
        stack.make()
    return stack


def _new(name: str) -> str:
    """Return the command that writes a missing stack file."""
    classes = (each for each in class_file.names(environment.ROOT) if name.startswith(f"{each}-"))
    if class_name := max(classes, key=len, default=""):
        command_line = f"./lab class new {class_name} --roster FILE"
        return f"for a student of {class_name}: {command_line} writes it again"
    return f"./lab new {name} --host URL"


def _demand_whole_secrets(name: str) -> None:
    """Refuse a stack file with truncated secrets, of which the engine names neither key nor remedy.

    Raises:
        errors.BadInputError: Names the keys, and the commands that set them again.
    """
    secrets = files.configuration(folder(), name).secrets
    if not files.has_passphrase(folder(), name):
        return
    salt = files.configuration(folder(), name).salt
    if secrets and not passphrase.is_whole_salt(salt):
        # The engine would write another salt, and no secret could be decrypted any more.
        known = salt_of(name)
        raise errors.BadInputError(
            f"stacks/Pulumi.{name}.yaml: {' and '.join(secrets)} cannot be decrypted",
            seen=f"its line encryptionsalt is {'cut off or changed' if salt else 'missing'}",
            do=f"at the end of the file, without indent: encryptionsalt: {known}" if known
            else "restore the file from version control; or remove them, and set them again: "
            + "; ".join(f"pulumi config set --secret {key} -s {name}" for key in secrets),
        )  # fmt: skip
    if broken := [key for key, text in secrets.items() if not passphrase.is_whole(text)]:
        raise errors.BadInputError(
            f"stacks/Pulumi.{name}.yaml: {' and '.join(broken)} cannot be decrypted",
            seen="the text behind `secure:` is cut off or changed",
            do="; ".join(f"pulumi config set --secret {key} -s {name}" for key in broken)
            + "; or restore the file from version control",
        )


def salt_of(name: str) -> str:
    """Return the salt that a stack's state was encrypted with; empty without one."""
    providers = state_of(name).load().get("secrets_providers") or {}
    return str((providers.get("state") or {}).get("salt") or "")


def ready(stack: Stack) -> None:
    """Wait for a run that is ending; clear the lock and the pending operations of a dead one.

    The preflight's taint goes too: the engine would show it nothing of the last `up`, by which it
    finds what a changed stack file would delete.

    Raises:
        errors.GrappeError: Another run of the stack is under way; or a lock is truncated, so that
            its owner is unknown.
    """
    if pid := _runs(stack.name):
        sys.stderr.write(f"… a run of {stack.name} is under way (process {pid}); waiting\n")
        try:
            # The engine of a killed process ends by itself, within seconds.
            command.wait_until(
                lambda: not _runs(stack.name), what="its end", timeout=ENDING_SECONDS
            )
        except errors.NotReadyError as error:
            raise errors.GrappeError(
                f"a run of {stack.name} is under way (process {pid})",
                do="wait for its end, or end it where it was started: Ctrl-C; if that process "
                f"runs no pulumi by now: pulumi cancel -s {stack.name}",
            ) from error
    shared = _shares_its_name()
    holders = _holders(stack.name)
    # A run that has just begun keeps its lock; the engine refuses ours then.
    if holders and not any(map(lifetime.is_alive, holders)):
        if shared:
            raise errors.GrappeError(
                f"a run of {stack.name} holds a lock (process {holders[0]} on "
                f"{socket.gethostname()}), and two machines of that name use this folder",
                do=f"when no run of {stack.name} is under way on either: "
                f"pulumi cancel -s {stack.name}",
            )
        sys.stderr.write(f"… clearing the lock of a run that ended (process {holders[0]})\n")
        stack.cancel()
        # Its plugins end within two seconds, and must not go on during our run.
        time.sleep(LAST_SECONDS)
    if not is_here():
        return
    tainted = [item["urn"] for item in resources(stack) if _is_tainted_preflight(item)]
    if tainted or state_of(stack.name).load().get("pending_operations"):
        # Every create finds what a dead run left, and every destroy sweeps it.
        state = stack.export()
        state["deployment"].pop("pending_operations", None)
        for item in state["deployment"].get("resources", ()):
            if item["urn"] in tainted:
                item.pop("taint", None)
        stack.replace(state)


def _shares_its_name() -> bool:
    """Note this machine, and return whether another of its hostname has used this folder lately.

    A folder may be shared by NFS or a synchronising program; a lock has the hostname alone.
    """
    if not MACHINE_ID.exists():
        return False
    folder, name = environment.STATE / "machines", socket.gethostname()
    own, oldest = folder / MACHINE_ID.read_text().strip(), time.time() - RECENT_SECONDS
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        own.write_text(name)
        others = [each for each in folder.iterdir() if each != own]
        return any(each.stat().st_mtime > oldest and each.read_text() == name for each in others)
    return False


def _is_tainted_preflight(item: Mapping[str, Any]) -> bool:
    return bool(item.get("taint")) and str(item["type"]).endswith("Preflight")


def run(stack: Stack, *arguments: str, rebuild: str | None = None) -> None:
    """Run a command of the engine on a stack, with this process as its program and plugin.

    Args:
        stack: The stack.
        arguments: The command and its arguments.
        rebuild: The value of `REBUILD`: servers and volumes that may go, separated by commas.

    Raises:
        errors.CommandError: It failed; its output shows why.
    """
    if stack.through:
        # An engine in another network namespace could not reach this process.
        stack.run(*arguments)
        return
    connect(stack)
    from components import program  # noqa: PLC0415 - most commands need no engine
    from engine import attached  # noqa: PLC0415

    os.chdir(environment.ROOT)
    with attached.serve(program.run, PROJECT) as server:
        attach = server.begin(arguments[0], rebuild)
        stack.run(*arguments, *attach, env=server.environment)


def is_unchanged(stack: Stack, this: Run, report: Callable[[str], None]) -> bool:
    """Return whether a stack has nothing to do, without the engine; if so, report that.

    Args:
        stack: The stack.
        this: The run; cancelling it ends the comparison.
        report: Called with each line for the user.

    Raises:
        errors.GrappeError: No run can go on: mistakes, or a host that does not answer.
    """
    if stack.through or not is_here() or not state_of(stack.name).resources():
        return False
    connect(stack)
    from components import program  # noqa: PLC0415 - most commands need no program
    from engine import unchanged  # noqa: PLC0415

    os.chdir(environment.ROOT)
    config = files.configuration(folder(), stack.name)
    found = unchanged.compare(program.run, state_of(stack.name), config, this)
    if found.difference:
        return False
    for note in found.notes:
        report(note)
    report(f"{stack.name}: nothing to do, {found.resources} unchanged")
    return True


def cancellable(this: Run, act: Callable[[], bool]) -> bool:
    """Act in a thread of its own, so that a Ctrl-C cancels the run at once."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(act)
        try:
            return done.result()
        except KeyboardInterrupt:
            this.cancelled.set()
            raise


def take_down(stack: Stack, this: Run) -> bool:
    """Take a stack down without the engine; return whether it could.

    Args:
        stack: The stack.
        this: The run; cancelling it ends the waits of its deletes.

    Raises:
        errors.GrappeError: A resource could not be deleted, or another run is under way.
    """
    if stack.through or not is_here() or not state_of(stack.name).path.exists():
        return False
    from engine import removal  # noqa: PLC0415 - most commands need no provider

    config = files.configuration(folder(), stack.name)
    return not removal.take_down(state_of(stack.name), config.plain, this)


def connect(stack: Stack) -> None:
    """Connect to a stack's hosts in the background, while Python loads and the engine starts."""
    config = files.configuration(folder(), stack.name)
    for key in ("host", "workstation"):
        text = config.plain.get(f"grappe:{key}", "")
        if not url.problem(text):
            connections.prepare(text)
    from providers import base  # noqa: PLC0415 - most commands need no provider

    base.preload()


def resources(stack: Stack) -> list[dict[str, Any]]:
    """Return the resources of a stack's state."""
    if not is_here():
        return list((stack.export().get("deployment") or {}).get("resources") or [])
    return state_of(stack.name).resources()


def engine_home() -> pathlib.Path:
    """Return the engine's home, which holds its logs."""
    return pathlib.Path(os.environ.get("PULUMI_HOME") or pathlib.Path.home() / ".pulumi")


def is_here() -> bool:
    """Return whether the states are in this folder."""
    return "PULUMI_BACKEND_URL" not in os.environ


def is_unwritten(name: str) -> bool:
    """Whether no run has written a stack's state: it is missing, or as `preview` creates it.

    `down` and `forget` leave a written one. A state elsewhere counts as written.
    """
    return is_here() and not state_of(name).load()


def recorded(name: str) -> list[dict[str, Any]]:
    """Return the resources of a state in this folder; none of one elsewhere."""
    return state_of(name).resources() if is_here() else []


def servers(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the inputs of a stack's containers, by name."""
    return {
        item["inputs"]["name"]: item["inputs"]
        for item in resources(stack)
        if item["type"].endswith("/lxd:Container")
    }


def _runs(name: str) -> int | None:
    """Return the process of this machine that runs a stack."""
    return next((pid for pid in _holders(name) if lifetime.is_alive(pid)), None)


def _holders(name: str) -> list[int]:
    """Return the processes of this machine that hold a lock of a stack, or held it and died."""
    locks = [_lock(path, name) for path in state_of(name).locks]
    return [each["pid"] for each in locks if each.get("hostname") == socket.gethostname()]


def _lock(path: pathlib.Path, name: str) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        held = None
    if not isinstance(held, dict) or not isinstance(held.get("pid"), int):
        raise errors.GrappeError(
            f"a lock of {name} is cut off: {path}",
            seen="it names no process that holds it",
            do=f"when no run of {name} is under way anywhere: pulumi cancel -s {name}",
        )
    return held
