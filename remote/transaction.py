"""Change shared files: all or nothing, all waiting changes at once.

stage -> compile -> check -> validate -> rename -> activate -> verify; on any
failure it restores and activates the old generation. The fragments are the
truth: a transaction killed half-way leaves at worst files that do not agree
with them, and the next one repairs these.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Type, Union

from remote import identity
from remote.fragment_store import Store
from remote.managed_block import DamagedError, split
from remote.system import File, RefusedError, System
from remote.target import Files, Fragment, Target
from remote.targets import haproxy, hosts_file, nat, relay

Json = Dict[str, Any]
# By the name of the target's folder in the store.
TARGETS: Dict[str, Type[Target]] = {
    "nat": nat.NatTarget, "haproxy": haproxy.HaproxyTarget, "hosts": hosts_file.HostsTarget,
    "relay": relay.RelayTarget,
}  # fmt: skip
# The errors of the host that become a refusal in the answer.
REFUSALS = (RefusedError, DamagedError, OSError)
# Seconds that a change waits for others.
GATHER_SECONDS = 0.03


def main(request: Json) -> Json:
    """Serve one request of the client, on the host.

    Args:
        request: `target` (one of `TARGETS`), `folder`, `shared_sections`, and `op`: `put` with a
            `fragment`, `remove` with an `id`, an `owner` and a `lab`, or `read` with a list of such
            `claims`.

    Returns:
        For `read`: `answers`, one for each claim, with `fragment` (None without one) and `drift`.
        For the others: `ok` and `notes`, messages for the user. A refusal, as an answer or as the
        whole, is `ok` False, `brief`, `seen` and `do`.
    """
    # This process ends with its answer: it need not collect garbage among thousands of fragments.
    gc.disable()
    system = System()
    target = TARGETS[request["target"]](system, request["shared_sections"])
    return serve(target, Store(system, request["folder"]), request)


def serve(target: Target, store: Store, request: Json) -> Json:
    """Serve a request; a refusal is an answer too."""
    try:
        if request["op"] == "read":
            return {"answers": _read(target, store, request["claims"])}
        change = {key: request[key] for key in request if key != "shared_sections"}
        return _change(target, store, change)
    except REFUSALS as error:
        return _refused(target, error)


def _refused(target: Target, error: Union[RefusedError, DamagedError, OSError]) -> Json:
    """Return the refusal for one of `REFUSALS`."""
    if isinstance(error, RefusedError):
        return _refusal(error)
    if isinstance(error, DamagedError):
        return _refusal(_damaged(target, error))
    return _refusal(_unwritable(target, error))


def _read(target: Target, store: Store, claims: List[Json]) -> List[Json]:
    """Return for each claim its `fragment`, None without one, and its `drift`; or a refusal."""
    with store.lock(shared=True):
        fragments = store.load()
        answers = [_find(store, fragments, claim) for claim in claims]
        held = [answer for answer in answers if answer.get("fragment")]
        edited = [answer for answer in held if answer["fragment"] != fragments[answer["id"]]]
        _diagnose(target, fragments, [answer for answer in held if answer not in edited])
        for answer in edited:
            # Compile an edited fragment with the others as stored: the edit is its drift alone.
            _diagnose(target, {**fragments, answer["id"]: answer["fragment"]}, [answer])
        return answers


def _find(store: Store, fragments: Dict[str, Fragment], claim: Json) -> Json:
    """Return the `fragment` of a claim with its `id` in the store, None without one; or refuse."""
    identifier = _stored_id(fragments, claim)
    if identifier is None:
        return {"fragment": None}
    fragment = store.reread(dict(fragments), identifier)
    if not identity.belongs(fragment, claim["owner"], claim.get("lab", "")):
        return _refusal(_not_ours(fragment, claim))
    return {"id": identifier, "fragment": fragment}


def _diagnose(target: Target, fragments: Dict[str, Fragment], answers: List[Json]) -> None:
    """Add to each answer its `drift`, how the host differs from the fragments; or a refusal."""
    if not answers:
        return
    try:
        current = _current(target)
        wanted = target.compile(list(fragments.values()), current)
        changed = [path for path in wanted if not _same(wanted[path], current[path])]
        found = [answer["fragment"] for answer in answers]
        drifts = [] if changed else target.diagnose(found, wanted)
    except REFUSALS as error:
        for answer in answers:
            answer.update(_refused(target, error))
        return
    by_hand = (
        f"the managed part of {', '.join(changed)} was changed by hand, or is of an older "
        "Grappe, or of other networks of the host"
    )
    for answer, drift in zip(answers, drifts or [by_hand] * len(answers)):
        answer["drift"] = drift


def _change(target: Target, store: Store, change: Json) -> Json:
    ticket, gathered = store.queue(change), time.monotonic() + GATHER_SECONDS
    try:
        with store.lock():
            try:
                return store.result(ticket) or _commit_queued(
                    target, store, change, ticket, gathered
                )
            finally:
                if store.is_empty():
                    store.clear()
    except RefusedError:
        # No other process may commit a change that we report as failed.
        store.withdraw(ticket)
        raise


def _commit_queued(
    target: Target, store: Store, change: Json, ticket: str, gathered: float
) -> Json:
    """Commit our own change and all queued ones; write the others' results.

    It waits until `gathered` (monotonic seconds) for changes of the same moment, to activate once.
    Meanwhile it reads the fragments.
    """
    old = store.load()
    time.sleep(max(0.0, gathered - time.monotonic()))
    batch = store.waiting()
    if not any(item["ticket"] == ticket for item in batch):
        batch.append({**change, "ticket": ticket})
    results = _commit(target, store, batch, old)
    for other, result in results.items():
        if other != ticket:
            store.answer(other, result)
    return results[ticket]


def _commit(
    target: Target, store: Store, batch: List[Json], old: Dict[str, Fragment]
) -> Dict[str, Json]:
    """Commit the valid changes with one activation; return each change's result."""
    results: Dict[str, Json] = {}
    accepted: List[Json] = []
    new = dict(old)
    for change in batch:
        try:
            stored = _stored_id(old, _claim(change))
            if stored is not None and new.get(stored) is old[stored]:
                new[stored] = store.reread(old, stored)
            new = _apply(target, new, change)
            accepted.append(change)
        except RefusedError as error:
            results[change["ticket"]] = _refusal(error)
    try:
        _install(target, store, old, new)
    except RefusedError as error:
        if len(accepted) > 1:
            # One of them is bad: commit each alone, so that it does not hold up the others.
            for change in accepted:
                results.update(_commit(target, store, [change], store.load()))
            return results
        results.update({change["ticket"]: _refusal(error) for change in accepted})
        return results
    done = {"ok": True, "notes": target.notes}
    results.update({change["ticket"]: done for change in accepted})
    return results


def _apply(target: Target, fragments: Dict[str, Fragment], change: Json) -> Dict[str, Fragment]:
    new = dict(fragments)
    claim = _claim(change)
    stored, held = _stored_id(new, claim), None
    if stored is not None:
        held = new.pop(stored)
        if not identity.belongs(held, claim["owner"], claim.get("lab", "")):
            raise _not_ours(held, claim)
    if change["op"] == "remove":
        return new
    fragment = change["fragment"]
    new[fragment["id"]] = fragment
    new = dict(sorted(new.items()))
    target.check(list(new.values()), fragment["id"], held)
    return new


def _claim(change: Json) -> Json:
    """Return the `id`, `owner` and `lab` of a change's fragment."""
    claim: Json = change if change["op"] == "remove" else change["fragment"]
    return claim


def _stored_id(fragments: Dict[str, Fragment], claim: Json) -> Optional[str]:
    """Return the id of a fragment; a renamed lab may have it under its old name.

    Args:
        fragments: Those of the store.
        claim: `id`, `owner` and `lab` of the wanted one.
    """
    lab, name = claim.get("lab"), claim["id"].rpartition("/")[2]
    if claim["id"] in fragments or not lab:
        return claim["id"] if claim["id"] in fragments else None
    for identifier, held in fragments.items():
        if held.get("lab") == lab and identifier.rpartition("/")[2] == name:
            return identifier
    return None


def _install(
    target: Target, store: Store, old: Dict[str, Fragment], new: Dict[str, Fragment]
) -> None:
    """Install and load the shared files of the new fragments, or restore the old."""
    for path in target.paths():
        target.system.sweep(path)
    current = _current(target)
    wanted = target.compile(list(new.values()), current)
    changed = {path: file for path, file in wanted.items() if not _same(file, current[path])}
    if not changed and new and not target.verify(wanted):
        store.save(old, new)
        return
    both = dict(sorted({**old, **new}.items()))
    staged: Dict[str, str] = {}
    try:
        for path, file in changed.items():
            if file.content is not None:
                staged[path] = target.system.stage(path, file)
        target.validate(
            wanted, {path: staged.get(path, target.system.root + path) for path in wanted}
        )
        with _held(store, old, both, lambda: _restore(target, changed, current, bool(old))):
            _swap(target, store, changed, current, staged)
            if new:
                _activate_and_verify(target, wanted)
            else:
                target.deactivate()
    finally:
        for path in staged.values():
            if os.path.lexists(path):
                os.unlink(path)
    if both != new:
        store.save(both, new)


@contextlib.contextmanager
def _held(
    store: Store, old: Dict[str, Fragment], both: Dict[str, Fragment], restore: Callable[[], None]
) -> Iterator[None]:
    """Keep in the store every fragment of which the files may have lines; so `down` finds it.

    On an error it has `restore` take the lines back, and then keeps the old fragments alone.
    """
    try:
        if both != old:
            store.save(old, both)
        yield
    except BaseException:
        restore()
        if both != old:
            store.save(both, old)
        raise


def _swap(
    target: Target, store: Store, changed: Files, current: Files, staged: Mapping[str, str]
) -> None:
    for path, file in changed.items():
        store.back_up(path, current[path])
        target.system.swap(path, file, staged.get(path, ""))


def _activate_and_verify(target: Target, files: Files) -> None:
    """Activate and verify; try twice, since the loaded state may have drifted before."""
    for _turn in range(2):
        target.activate(files)
        wrong = target.verify(files)
        if not wrong:
            return
    raise RefusedError(f"{target.name}: the change did not take effect", wrong)


def _restore(target: Target, changed: Files, current: Files, live: bool) -> None:
    """Restore the old generation, and activate it."""
    touched = False
    for path in changed:
        if not _same(current[path], target.system.read(path)):
            target.system.write(path, current[path])
            touched = True
    if touched:
        try:
            if live:
                target.activate(current)
            else:
                target.deactivate()
        except RefusedError:
            # Report the first failure; this one would hide it.
            pass


def _current(target: Target) -> Files:
    current = {path: target.system.read(path) for path in target.paths()}
    for path, file in current.items():
        if file.link and path not in target.links:
            raise RefusedError(
                f"{path} is a symbolic link, and was left alone",
                f"it points to {file.link}",
                "make it a real file: a rename would replace the link, not what it leads to",
            )
    return current


def _same(wanted: File, current: File) -> bool:
    same_mode = wanted.content is None or wanted.mode in (None, current.mode)
    return same_mode and (wanted.content, wanted.link) == (current.content, current.link)


def _not_ours(held: Fragment, claim: Json) -> RefusedError:
    return RefusedError(
        f"{held['id']} exists already and was left alone",
        identity.whose(held, claim["owner"]),
        identity.way_out(held, claim["owner"]),
        fragment=held["id"],
    )


def _damaged(target: Target, error: DamagedError) -> RefusedError:
    paths = [
        path for path in target.paths() if _is_damaged(target.system.read(path))
    ] or target.paths()
    return RefusedError(
        f"the managed part of {' or '.join(paths)} is damaged, nothing was changed",
        str(error),
        "put its first and last line back, or remove the rest of it by hand; then `pulumi up`",
    )


def _is_damaged(file: File) -> bool:
    try:
        split(file.content or "")
    except DamagedError:
        return True
    return False


def _unwritable(target: Target, error: OSError) -> RefusedError:
    """Return the refusal for a file that we cannot write."""
    path = str(error.filename2 or error.filename or " or ".join(target.paths()))
    ways = {
        errno.ENOSPC: "df -h and df -i show what is full; make room, then run it again",
        errno.EDQUOT: "its quota is used up; make room, then run it again",
        errno.EROFS: "mount shows why the file system is read-only; then run it again",
    }
    usual = (
        "lsattr %s (an `i` keeps everybody from changing it: chattr -i), ls -ld; then run it again"
    )
    return RefusedError(
        "%s could not be changed, and the rest was left as it was" % path,
        error.strerror or str(error),
        ways.get(error.errno or 0, usual % path),
    )


def _refusal(error: RefusedError) -> Json:
    return {"ok": False, "brief": error.brief, "seen": error.seen, "do": error.do}
