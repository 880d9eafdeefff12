"""The fragments on a host: one file each, under one lock, with a queue of waiting changes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

from remote.fragment_index import Index
from remote.managed_block import NEWEST_FORMAT
from remote.system import STAGED, File, RefusedError, System

LOCK_SECONDS = 60.0

Fragment = Dict[str, Any]


class Store:
    """The fragments of one target on one host.

    Args:
        system: The host.
        folder: The folder of the target's store, on the host.
    """

    def __init__(self, system: System, folder: str) -> None:
        self._system = system
        self.folder = folder
        self._real = system.root + folder
        self._index = Index(f"{self._real}/index", f"{self._real}/fragments")
        # What `load` read, by the fragment's id.
        self._texts: Dict[str, bytes] = {}

    def load(self) -> Dict[str, Fragment]:
        """Return all fragments by id, in the order of their ids.

        Raises:
            RefusedError: A fragment's file is damaged, or a newer Grappe wrote it.
        """
        texts = self._index.load()
        names: List[str] = []
        if texts is None:
            names, texts = self._read()
        try:
            # Parsing thousands as one list takes half the time.
            found = json.loads(b"[" + b",".join(texts) + b"]")
            if len(found) != len(texts):
                raise ValueError
        except ValueError:
            names, texts = self._read()
            found = [self._parse(name, text) for name, text in zip(names, texts)]
        fragments = {}
        for name, fragment, text in zip(names or [""] * len(texts), found, texts):
            identifier = self._known(name, fragment)
            fragments[identifier] = fragment
            self._texts[identifier] = text
        return dict(sorted(fragments.items()))

    def reread(self, fragments: Dict[str, Fragment], identifier: str) -> Fragment:
        """Read one fragment from its own file, which somebody may have edited in place."""
        name = os.path.basename(self._path(identifier))
        # The file may have another name than the fragment's id gives.
        with contextlib.suppress(FileNotFoundError):
            fragment = self._parse(name, self._text(name))
            self._known(name, fragment)
            fragments[identifier] = fragment
        return fragments[identifier]

    def _known(self, name: str, fragment: Fragment) -> str:
        """Return the id of a fragment; refuse an unknown format."""
        try:
            known, identifier = fragment["format"] <= NEWEST_FORMAT, str(fragment["id"])
        except (KeyError, TypeError) as error:
            raise self._damaged(name, error) from error
        if not known:
            raise RefusedError(
                f"{self.folder} was written by a newer Grappe",
                f"format {fragment['format']}; this one knows {NEWEST_FORMAT}",
                "use the newer Grappe for this host",
            )
        return identifier

    def _read(self) -> Tuple[List[str], List[bytes]]:
        """Return the names and the contents of the fragments' files."""
        names = self._names()
        return names, [self._text(name) for name in names]

    def _text(self, name: str) -> bytes:
        with open(f"{self._real}/fragments/{name}", "rb", 0) as stream:
            return stream.read()

    def _parse(self, name: str, text: bytes) -> Fragment:
        try:
            return json.loads(text)  # type: ignore[no-any-return]
        except ValueError as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> RefusedError:
        return RefusedError(
            f"{self.folder}/fragments/{name} is damaged",
            str(error),
            "remove the file, then `pulumi up` of the stack it names",
        )

    def is_empty(self) -> bool:
        """Whether the store has no fragment."""
        return not self._names()

    def save(self, old: Dict[str, Fragment], new: Dict[str, Fragment]) -> None:
        """Write the files of `new`, and remove those that only `old` has."""
        for identifier in old.keys() - new.keys():
            self._system.write(self._path(identifier), File(None))
        for identifier, fragment in new.items():
            if old.get(identifier) != fragment:
                content = json.dumps(fragment, indent=1, sort_keys=True) + "\n"
                self._system.write(self._path(identifier), File(content, 0o600))
                # What `load` read is older now.
                self._texts.pop(identifier, None)
        if new:
            self._index.save(self._line(old, fragment) for fragment in new.values())

    def _line(self, old: Dict[str, Fragment], fragment: Fragment) -> bytes:
        """Return a fragment as a line of the index, unchanged if it was read as one."""
        text = self._texts.get(fragment["id"], b"\n")
        same = old.get(fragment["id"]) is fragment and b"\n" not in text
        return text if same else json.dumps(fragment).encode()

    def back_up(self, path: str, file: File) -> None:
        """Keep a backup of a shared file's old generation, for people."""
        if file.content is not None and not file.link:
            name = os.path.basename(path)
            self._system.write(f"{self.folder}/previous/{name}", File(file.content, 0o600))

    def clear(self) -> None:
        """Remove the store if its queue is empty, and its parent if that is empty."""
        for name in ("fragments", "previous"):
            folder = os.path.join(self._real, name)
            for entry in os.listdir(folder) if os.path.isdir(folder) else []:
                os.unlink(os.path.join(folder, entry))
        self._drop_dead_changes()
        with contextlib.suppress(OSError):
            for name in ("fragments", "previous", "queue"):
                if os.path.isdir(os.path.join(self._real, name)):
                    os.rmdir(os.path.join(self._real, name))
            # Among the rest, files that an interrupted change staged in the store.
            staged = [name for name in os.listdir(self._real) if STAGED in name]
            for name in (*staged, "index", "index.new", "lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._real, name))
            os.rmdir(self._real)
            os.rmdir(os.path.dirname(self._real))

    @contextlib.contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the target's lock; for reading a shared one, if the store exists.

        Raises:
            RefusedError: Another change holds it for more than LOCK_SECONDS.
        """
        path = os.path.join(self._real, "lock")
        deadline = time.monotonic() + LOCK_SECONDS
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            try:
                if not shared:
                    os.makedirs(self._real, mode=0o755, exist_ok=True)
                create = 0 if shared else os.O_CREAT
                descriptor = os.open(path, os.O_RDWR | create | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                if shared:
                    # Without a store there is nothing to read.
                    yield
                    return
                # Another process removed the store between the two lines.
                continue
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break
            except OSError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise RefusedError(
                        f"{self.folder}/lock is held for more than {LOCK_SECONDS:g} s",
                        "another change of the same files does not end",
                        f"on the host: fuser -v {path}",
                    ) from None
                time.sleep(0.01)
            os.close(descriptor)
        try:
            yield
        finally:
            os.close(descriptor)

    def queue(self, request: Dict[str, Any]) -> str:
        """Queue a change for the next holder of the lock; return its ticket."""
        me = os.getpid()
        name = f"{time.time_ns()}-{me}-{_start_time(me)}-{os.urandom(16).hex()}"
        ticket = os.path.join(self._real, "queue", name)
        content = json.dumps(request)
        while True:
            try:
                os.makedirs(os.path.dirname(ticket), exist_ok=True)
                with open(ticket + ".new", "w", encoding="utf-8") as stream:
                    stream.write(content)
                os.rename(ticket + ".new", ticket + ".change")
            except FileNotFoundError:
                continue
            return ticket

    def withdraw(self, ticket: str) -> None:
        """Remove a change from the queue if nobody has taken it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ticket + ".change")

    def waiting(self) -> List[Dict[str, Any]]:
        """Take the queued changes, in their order."""
        changes = []
        self._drop_dead_changes()
        folder = os.path.join(self._real, "queue")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            if name.endswith(".change"):
                with open(path, encoding="utf-8") as stream:
                    changes.append({**json.load(stream), "ticket": path[: -len(".change")]})
                os.unlink(path)
        return changes

    def answer(self, ticket: str, result: Dict[str, Any]) -> None:
        """Write the result of another process's change."""
        with open(ticket + ".new", "w", encoding="utf-8") as stream:
            json.dump(result, stream)
        os.rename(ticket + ".new", ticket + ".result")

    def result(self, ticket: str) -> Optional[Dict[str, Any]]:
        """Return another process's result for this ticket, if any."""
        try:
            with open(ticket + ".result", encoding="utf-8") as stream:
                result: Dict[str, Any] = json.load(stream)
        except FileNotFoundError:
            return None
        os.unlink(ticket + ".result")
        return result

    def _names(self) -> List[str]:
        """Return the names of the fragments' files, without half-written ones."""
        folder = os.path.join(self._real, "fragments")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(name for name in names if name.endswith(".json") and name[0] != ".")

    def _drop_dead_changes(self) -> None:
        """Remove the changes of dead processes from the queue."""
        folder = os.path.join(self._real, "queue")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            _when, pid, born, _unique = name.split("-")
            if _start_time(int(pid)) != born:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))

    def _path(self, identifier: str) -> str:
        return f"{self.folder}/fragments/{identifier.replace('/', '+')}.json"


def _start_time(pid: int) -> str:
    """Return the start time of a process, or nothing for a dead one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""
