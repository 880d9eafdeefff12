"""`./lab down`, `./lab forget` and `./lab remove`: remove a lab, its state, or all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli import environment, options, progress, stack
from core import errors, problems
from core.run import Run
from engine.stack import Stack
from engine.state import name_of
from hosts import connections
from hosts import url as host_urls
from stacks import files, kinds, lab_host

if TYPE_CHECKING:
    from providers.leftovers import driver as leftovers

NOTES = "/var/lib/grappe-host"
STEP_SECONDS = 600


def down_options(parser: options.Parser) -> None:
    """Add the options of `down`, `remove` and `forget`."""
    options.stack(parser)
    options.yes(parser)


remove_options = forget_options = down_options


def down(name: str, *, yes: bool = False) -> int:
    """Take a stack down, with leftovers of unfinished runs; its file stays.

    Raises:
        errors.BadInputError: Servers would be deleted, and there is no terminal to confirm it.
        errors.CommandError: The run failed; its output shows why.
    """
    selected = stack.select(name)
    stack.connect(selected)
    stack.ready(selected)
    # Where no run has written the state, the host alone knows whether the lab is there.
    try:
        left = _leftovers(selected, demand_host=stack.is_unwritten(name))
    except errors.HostError as error:
        raise errors.HostError(error.brief, error.seen, or_forget(error, name)) from error
    contents = _contents(selected, left)
    question = f"Take {name} down? This deletes the content of {', '.join(contents)}."
    if contents and not progress.confirm(question, yes=yes):
        return 1
    resources = stack.resources(selected)
    count = len([item for item in resources if _is_ours(item)])
    if left:
        things = "1 thing" if len(left) == 1 else f"{len(left)} things"
        sys.stderr.write(
            f"{name}: {count} resources of the state, and {things} that an unfinished run "
            f"left ({', '.join(map(str, left))})\n"
        )
    if not left and all(item["type"] == "pulumi:pulumi:Stack" for item in resources):
        sys.stderr.write(
            f"{name}: its state is empty, and no host that answered has anything with the id of "
            f"its stack file. To see who owns a lab of that name: ./lab preview {name}\n"
        )
    _take_down(selected, left, lambda: _destroy(selected))
    if left:
        sys.stderr.write("✓ all gone\n")
    return 0


def or_forget(error: errors.GrappeError, name: str) -> str:
    """Return the remedy of an error of a host, and that for a host that is gone for good."""
    remedies = (error.do, f"if that host is gone for good: ./lab forget {name}")
    return "; ".join(filter(None, remedies))


def _destroy(selected: Stack) -> None:
    """Delete a stack's resources, a line each; leave an unusual state to the engine."""
    gone: list[str] = []

    def note(_what: str, urn: str) -> None:
        gone.append(urn)
        sys.stderr.write(f"- {name_of(urn)}\n")

    this = Run(command="destroy", rebuild="", changes=note)
    if not stack.cancellable(this, lambda: stack.take_down(selected, this)):
        stack.run(selected, *stack.DOWN)
    elif gone:
        sys.stdout.write(f"{selected.name}: {len(gone)} deleted\n")


def take_down(selected: Stack, destroy: Callable[[], object]) -> int:
    """Take a stack down with leftovers of unfinished runs; return the number of leftovers.

    Args:
        selected: The stack.
        destroy: Runs the engine's destroy.
    """
    left = _leftovers(selected)
    _take_down(selected, left, destroy)
    return len(left)


def leftovers_of(name: str) -> list[leftovers.Leftover]:
    """Return the things of a stack without a state on its hosts.

    Raises:
        errors.BadInputError: Its stack file cannot be read, or names no host.
        errors.HostError: Its lab host does not answer.
        errors.DaemonError: LXD does not answer there.
    """
    return _leftovers(Stack(name, environment.ROOT), demand_host=True)


def _take_down(
    selected: Stack, left: list[leftovers.Leftover], destroy: Callable[[], object]
) -> None:
    from providers.leftovers import driver as leftovers  # noqa: PLC0415 - connect meanwhile

    owner, lab = _identity(selected)
    for item in left:
        # A leftover container blocks the removal of resources in the state.
        if item.kind == "container":
            leftovers.remove(item, owner, lab)
    destroy()
    for item in left:
        leftovers.remove(item, owner, lab)
    _undo_steps(selected)


def forget(name: str, *, yes: bool = False) -> int:
    """Remove a stack's state, for a lab host that is gone for good; touch no host.

    Raises:
        errors.BadInputError: There is no such stack, or no terminal to confirm it.
    """
    question = (
        f"Forget everything recorded of {name}? What is left of it on its old host stays "
        "there, and Grappe will not find it again."
    )
    if not progress.confirm(question, yes=yes):
        return 1
    selected = stack.select(name)
    stack.ready(selected)
    state = selected.export()
    deployment = dict(state.get("deployment") or {})
    resources = deployment.get("resources", [])
    kept = [item for item in resources if item["type"] == "pulumi:pulumi:Stack"]
    for item in kept:
        item.pop("outputs", None)
    deployment["resources"], deployment["pending_operations"] = kept, []
    selected.replace({**state, "deployment": deployment})
    sys.stderr.write(f"{name} is forgotten; ./lab up {name} recreates it\n")
    return 0


def remove(name: str, *, yes: bool = False) -> int:
    """Take a stack down, and remove all its files here: a person's data.

    Raises:
        errors.BadInputError: There is no such stack, or no terminal to confirm it.
        errors.CommandError: The run failed; its output shows why, and all files stay.
    """
    question = f"Take {name} down, and remove its stack file, state, backups, history and logs?"
    if not progress.confirm(question, yes=yes):
        return 1
    selected = stack.select(name)
    stack.connect(selected)
    state = stack.state_of(name)
    try:
        # Its id goes with the stack file, and with the id everything that was not found. Where
        # nothing is recorded, as after `forget`, a silent machine is a warning.
        _leftovers(selected, demand_all=any(map(_is_ours, stack.resources(selected))))
    except errors.HostError as error:
        do = f"repeat it once that host answers; if it is gone for good: ./lab forget {name}, then "
        raise errors.HostError(error.brief, error.seen, f"{do}./lab remove {name}") from error
    down(name, yes=True)
    traces = [stack.file_of(name), *state.traces(stack.engine_home())]
    selected.remove()
    remove_files(name)
    sys.stdout.write("".join(f"removed {path}\n" for path in traces))
    sys.stderr.write(f"{name} is removed\n")
    return 0


def remove_files(name: str) -> None:
    """Remove a stack's file, state, backups, history and logs; those of one that is down."""
    state = stack.state_of(name)
    for path in (stack.file_of(name), *state.traces(stack.engine_home())):
        path.unlink(missing_ok=True)
    for folder in state.folders:
        if folder.is_dir() and not list(folder.iterdir()):
            folder.rmdir()


def _contents(selected: Stack, left: list[leftovers.Leftover]) -> list[str]:
    """Return the servers and volumes whose content would be deleted; builders do not count."""
    if files.read(stack.folder(), selected.name).get("kind", "student") != "student":
        return []
    volumes = {
        item["inputs"]["name"]
        for item in stack.resources(selected)
        if item["type"].endswith("/lxd:Volume")
    }
    found = {item.name for item in left if item.kind in {"container", "volume"}}
    return sorted({*stack.servers(selected), *volumes, *found})


def _leftovers(
    selected: Stack, *, demand_host: bool = False, demand_all: bool = False
) -> list[leftovers.Leftover]:
    """Return the things on its hosts that carry the lab's marks and are in no state.

    A host that does not answer is an error if the state has resources on it, if `demand_host`
    is set and it is the lab host, or if `demand_all` is set.
    """
    from providers.leftovers import driver as leftovers  # noqa: PLC0415 - connect meanwhile

    config = files.read(stack.folder(), selected.name)
    if config.get("kind") == "host":
        return []
    owner, lab = _identity(selected)
    recorded = [item for item in stack.resources(selected) if _is_ours(item)]
    _demand_own_id(selected.name, lab, recorded)
    tunnel = config.get("tunnel") or {}
    urls = [
        *(str(config.get(key) or "") for key in ("host", "workstation")),
        str(tunnel.get("relay") or "") if isinstance(tunnel, dict) else "",
        *(str(item["inputs"]["host"]) for item in recorded),
    ]
    lab_hosts = {str(config.get("host") or "")} | {
        str(item["inputs"]["host"]) for item in recorded if "dynamic/lxd:" in item["type"]
    }
    known = {(item["type"].rpartition(":")[2], item["inputs"]["name"]) for item in recorded}
    found = []
    for url in dict.fromkeys(each for each in urls if each not in ("", "none")):
        if problem := host_urls.problem(url):
            shown = problems.show(host_urls.without_password(url))
            raise errors.BadInputError(f"stacks/Pulumi.{selected.name}.yaml: {shown} {problem}")
        try:
            found += leftovers.find([url], url if url in lab_hosts else "", owner, lab)
        except errors.HostError as error:
            needed = demand_all or (demand_host and url in lab_hosts)
            if needed or any(item["inputs"]["host"] == url for item in recorded):
                raise
            sys.stderr.write(
                f"… {error.brief}: Grappe could not search it for leftovers of {selected.name}\n"
            )
    return [item for item in found if not _is_recorded(known, item)]


def _is_recorded(known: set[tuple[str, str]], item: leftovers.Leftover) -> bool:
    """Whether a thing on a host belongs to a resource in the state."""
    kinds_of = {
        "container": "Container", "volume": "Volume", "network": "Network", "project": "Project",
        "NAT rule": "Rule", "backend": "Backend", "hosts entry": "Entry", "relay grant": "Door",
        "tunnel": "Key",
    }  # fmt: skip
    names = {name for kind, name in known if kind == kinds_of.get(item.kind)}
    if item.kind == "image":
        return any(kind in {"Image", "PublishedImage"} for kind, _name in known)
    if item.kind == "container" and item.name.endswith("-published"):
        return any(kind == "PublishedImage" for kind, _name in known)
    if item.kind == "NAT rule":
        names |= {name for kind, name in known if kind == "Opening"}
    return item.name in names


def _identity(selected: Stack) -> tuple[str, str]:
    lab = str(files.read(stack.folder(), selected.name).get("id") or "")
    return f"{stack.PROJECT}/{selected.name}", lab


def _demand_own_id(name: str, lab: str, recorded: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a copied stack file: everything on a host with its id is the other stack's.

    Raises:
        errors.BadInputError: Another stack file has the id, and no resource in the state does.
    """
    if not lab or any(item["inputs"].get("lab") == lab for item in recorded):
        return
    others = files.others(stack.folder(), name)
    for other in (each for each, config in others.items() if str(config.get("id") or "") == lab):
        raise errors.BadInputError(
            f"grappe:id of stacks/Pulumi.{name}.yaml is {other}'s too, and what has it on a host "
            f"may be {other}'s; nothing was deleted",
            do=f"if the file is a copy of {other}'s, remove its line grappe:id, and repeat this",
        )


def _is_ours(item: dict[str, object]) -> bool:
    return str(item["type"]).startswith("pulumi-python:dynamic/")


def _undo_steps(selected: Stack) -> None:
    """Undo the steps of a lab host that an unfinished run left, by the notes of each step."""
    from components.lab_host import scripts  # noqa: PLC0415 - few stacks are lab hosts

    config = files.read(stack.folder(), selected.name)
    if config.get("kind") != "host":
        return
    host = connections.connect(str(config["host"]))
    if not host.run(["test", "-e", NOTES], check=False).ok:
        return
    texts = {key: text for key, (text, _secret) in selected.config().items()}
    spec = kinds.parse(texts, project=stack.PROJECT, stack=selected.name)
    if not isinstance(spec, lab_host.LabHostSpec):
        return
    for script in reversed(scripts.for_host(spec, host.parsed_url.port or scripts.SSH_PORT)):
        with progress.step(script.name) as step:
            done = host.run(["sh", "-c", script.undo], timeout=STEP_SECONDS, check=False)
            step.detail = "undone" if done.ok else "not undone"
            if not done.ok:
                raise errors.CommandError(
                    f"the step {script.name} could not be undone on {host.url}", seen=done.tail(),
                    do=f"fix what it reports, then: ./lab down {selected.name}",
                )  # fmt: skip
