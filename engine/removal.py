"""Take a stack down without the engine.

The resources go in the engine's order, each before what it depends on, by the same providers, under
the engine's own lock; the state loses each as it goes. A state with anything unusual is left to the
engine.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

from core import errors, run
from engine import attached
from engine.state import State, name_of, with_secrets

THREADS = 32
DYNAMIC = "pulumi-python:dynamic"
PROVIDERS = "pulumi:providers:"
# All that a usual resource has in a state.
USUAL = {
    "urn", "custom", "id", "type", "inputs", "outputs", "parent", "dependencies", "provider",
    "propertyDependencies", "replaceWith", "created", "modified", "sourcePosition", "stackTrace",
    "additionalSecretOutputs", "deletedWith",
}  # fmt: skip


def take_down(state: State, config: Mapping[str, str], this: run.Run) -> str:
    """Delete all resources of a stack on their hosts; return why the engine must do it instead.

    Args:
        state: The stack's state.
        config: The stack's plain configuration, which the providers read.
        this: The run that the providers serve; cancelling it ends their waits.

    Raises:
        errors.CommandError: A resource could not be deleted; the state keeps it and what it needs.
        errors.GrappeError: Another run of the stack is under way.
    """
    if reason := unusual(state.load()):
        return reason
    with state.locked():
        deployment = state.load()
        # Another run may have changed it before this one got the lock.
        reason = unusual(deployment)
        if not reason:
            providers = attached.Providers(state.project, config)
            with run.entered(this), run.Pool(THREADS) as pool:
                _take_down(state, deployment, lambda item: _delete(providers, item), pool)
        return reason


def unusual(deployment: Mapping[str, Any]) -> str:
    """Return the first thing in a state that only the engine can take down; empty without one."""
    if deployment.get("pending_operations"):
        return "a run has not ended"
    urns = set[str]()
    for item in deployment.get("resources") or []:
        if extra := item.keys() - USUAL:
            return f"{item['urn']} has {', '.join(sorted(extra))}"
        if item["custom"] and not str(item["type"]).startswith((DYNAMIC, PROVIDERS)):
            return f"{item['urn']} is another provider's"
        if missing := needs(item) - urns:
            return f"{item['urn']} depends on {min(missing)}, which is not before it"
        urns.add(item["urn"])
    return ""


def needs(item: Mapping[str, Any]) -> set[str]:
    """Return the URNs of what must outlive a resource."""
    found = {item.get("parent") or "", item.get("deletedWith") or ""}
    lists = [item.get("dependencies"), item.get("replaceWith")]
    for urns in [*lists, *(item.get("propertyDependencies") or {}).values()]:
        found.update(urns or [])
    # A reference names the provider's id too.
    found.add((item.get("provider") or "").rpartition("::")[0])
    return found - {""}


def _take_down(
    state: State, deployment: dict[str, Any], delete: Callable[[Mapping[str, Any]], None],
    pool: run.Pool,
) -> None:  # fmt: skip
    """Delete each resource once nothing needs it any more; after a failure begin no other."""
    left = {item["urn"]: item for item in deployment.get("resources") or []}
    users = collections.Counter(urn for item in left.values() for urn in needs(item))
    ready = [item for urn, item in left.items() if not users[urn]]
    under_way: dict[futures.Future[None], dict[str, Any]] = {}
    failures: list[str] = []
    while ready or under_way:
        under_way |= {pool.submit(delete, item): item for item in ready}
        ready = []
        for each in futures.wait(under_way, return_when=futures.FIRST_COMPLETED).done:
            item = under_way.pop(each)
            try:
                each.result()
            except errors.GrappeError as error:
                failures.append(f"deleting {name_of(item['urn'])}: {error}")
                continue
            del left[item["urn"]]
            users.subtract(needs(item))
            ready += [left[urn] for urn in needs(item) if not users[urn]]
            state.save({**deployment, "resources": list(left.values())})
        if failures:
            ready = []
    if failures:
        raise errors.CommandError("\n".join(failures))


def _delete(providers: attached.Providers, item: Mapping[str, Any]) -> None:
    """Delete a resource on its host; components and the engine's own resources have none.

    One that is deleted with another needs no delete of its own: here all of them go.
    """
    run.raise_if_cancelled()
    if str(item["type"]).startswith(DYNAMIC) and not item.get("deletedWith"):
        run.current().changes("deleting", item["urn"])
        # No delete reads a secret.
        outputs = with_secrets(item.get("outputs") or {}, lambda _secret: "")
        providers.find(outputs).delete(item["id"], outputs)
