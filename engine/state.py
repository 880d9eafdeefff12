"""A stack's state in the engine's file backend, without the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import getpass
import json
import os
import pathlib
import shlex
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from core import errors

CHECKPOINT_VERSION = 3
# The time in the name of one of the engine's logs: stack tp1 has none of stack tp1-zoe's.
_DAY, _CLOCK = "[0-9]" * 8, "[0-9]" * 6
# What a secret among a resource's values carries (`resource.SecretSig` in the engine's SDK).
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@dataclasses.dataclass(frozen=True)
class State:
    """The files of one stack's state.

    Attributes:
        folder: The backend's folder, which contains `.pulumi`.
        project: The Pulumi project.
        stack: The stack.
    """

    folder: pathlib.Path
    project: str
    stack: str

    @property
    def path(self) -> pathlib.Path:
        """The path of the state itself."""
        return self.folder / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    @property
    def folders(self) -> list[pathlib.Path]:
        """The folders of the backend that belong to this stack alone."""
        root = self.folder / ".pulumi"
        kept = [root / kind / self.project / self.stack for kind in ("backups", "history")]
        return [*kept, *(root / "locks").rglob(self.stack)]

    @property
    def locks(self) -> list[pathlib.Path]:
        """The locks that runs of the stack hold."""
        return sorted((self.folder / ".pulumi" / "locks").rglob(f"{self.stack}/*.json"))

    def create(self) -> bool:
        """Make the state of a stack that has none; return False for an uninitialised backend.

        The engine's own `stack init` takes 0.4 s of a processor, and a class makes thirty.
        """
        if not (self.folder / ".pulumi" / "meta.yaml").exists():
            return False
        empty = {"stack": f"organization/{self.project}/{self.stack}", "latest": None}
        text = json.dumps({"version": CHECKPOINT_VERSION, "checkpoint": empty})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        whole.write_text(text)
        # Another run may make it at the same moment.
        with contextlib.suppress(FileExistsError):
            self.path.hardlink_to(whole)
        whole.unlink()
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the engine's lock of the stack, as a run of the engine does.

        Raises:
            errors.GrappeError: Another run holds it.
        """
        folder = self.folder / ".pulumi" / "locks" / "organization" / self.project / self.stack
        path = folder / f"{uuid.uuid4()}.json"
        holder = {
            "pid": os.getpid(), "username": getpass.getuser(), "hostname": socket.gethostname(),
            "timestamp": dt.datetime.now(tz=dt.UTC).isoformat(),
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(holder))
        try:
            # Two that begin at the same moment both give way.
            if others := [each for each in self.locks if each != path]:
                raise errors.GrappeError(
                    f"another run of {self.stack} is under way", seen=_holder(others[0]),
                    do="wait for its end; if no run is under way there: "
                    f"pulumi cancel -s {self.stack}",
                )  # fmt: skip
            yield
        finally:
            path.unlink(missing_ok=True)

    def save(self, deployment: Mapping[str, Any]) -> None:
        """Write a deployment that `load` returned and the holder of the lock has changed."""
        whole = json.loads(self.path.read_text())
        now = dt.datetime.now(tz=dt.UTC).isoformat()
        latest = {**deployment, "manifest": {**deployment["manifest"], "time": now}}
        if not latest.get("resources"):
            # As the engine writes a stack that is down.
            latest.pop("resources", None)
        whole["checkpoint"]["latest"] = latest
        shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.bak"))
        _write(self.path, json.dumps(whole, separators=(",", ":")))

    def demand_whole(self, *, history: bool = False) -> None:
        """Refuse truncated files of the backend, which the engine reports only as EOF.

        The attributes beside the state are only removed, since a killed run may leave them empty:
        the next one writes them again.

        Args:
            history: Whether to check the history too, which a rename moves.

        Raises:
            errors.GrappeError: A file is truncated; names it and the remedy.
        """
        root = self.folder / ".pulumi"
        meta = root / "meta.yaml"
        if meta.exists() and not meta.read_text().strip():
            raise errors.GrappeError(
                f"{meta} is cut off",
                seen="it is empty",
                do=f"echo 'version: 1' > {shlex.quote(str(meta))}",
            )
        attributes = self.path.with_name(f"{self.path.name}.attrs")
        if attributes.is_file() and not attributes.stat().st_size:
            attributes.unlink()
        beside: list[pathlib.Path] = []
        if history:
            beside += root.glob(f"history/{self.project}/{self.stack}/*")
            beside += root.glob(f"backups/{self.project}/{self.stack}/*")
        cut = [str(path) for path in beside if path.is_file() and not path.stat().st_size]
        if cut:
            raise errors.GrappeError(
                f"files beside the state of {self.stack} are cut off: {len(cut)}",
                seen="\n".join(cut),
                do=f"rm {shlex.join(cut)}",
            )

    def load(self) -> dict[str, Any]:
        """Return the deployment; empty without a state.

        Raises:
            errors.GrappeError: The file is truncated; names its backup.
        """
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return {}
        try:
            found = json.loads(text)["checkpoint"]["latest"]
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(len(text), error) from error
        return dict(found or {})

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources in the state."""
        return list(self.load().get("resources") or [])

    def traces(self, home: pathlib.Path) -> list[pathlib.Path]:
        """Return the files of the backend and the engine's home that belong to this stack alone."""
        root = self.folder / ".pulumi"
        found = [
            *root.glob(f"stacks/{self.project}/{self.stack}.json*"),
            *root.glob(f"backups/{self.project}/{self.stack}/*"),
            *root.glob(f"history/{self.project}/{self.stack}/*"),
            *self.locks,
            *home.glob(f"logs/*+{self.project}+{self.stack}-{_DAY}T{_CLOCK}.log"),
        ]
        return sorted(path for path in found if path.is_file())

    def _damaged(self, size: int, error: Exception) -> errors.GrappeError:
        beside = self.path.parent / f"{self.path.name}.bak"
        kept = sorted(
            (self.folder / ".pulumi" / "backups" / self.project / self.stack).glob("*.json")
        )
        whole = next((path for path in (beside, *reversed(kept)) if _is_whole(path)), None)
        path = shlex.quote(str(self.path))
        return errors.GrappeError(
            f"the state of {self.stack} is cut off: {self.path}",
            seen=f"{size} characters; {type(error).__name__}: {error}",
            do=f"cp {shlex.quote(str(whole))} {path}, then run it again: it finds what has been "
            "made since"
            if whole
            else f"no backup is whole. rm {path}; then ./lab up {self.stack} takes up what "
            "is there, if the stack file still has its grappe:id",
        )


def with_secrets(value: Any, replace: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a recorded value with each secret in it as `replace` returns it."""
    if isinstance(value, list):
        return [with_secrets(each, replace) for each in value]
    if not isinstance(value, dict):
        return value
    if value.items() >= SECRET.items():
        return replace(value)
    return {key: with_secrets(each, replace) for key, each in value.items()}


def _holder(lock: pathlib.Path) -> str:
    """Return in words who holds a lock, maybe on another machine that shares the folder."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(lock.read_text())
        who = f"process {held['pid']} of {held['username']} on {held['hostname']}"
        return f"{who} began it at {held['timestamp']}"
    return f"its lock is {lock}"


def name_of(urn: str) -> str:
    """Return a resource's kind and name, as people read them."""
    kind, _, name = urn.rpartition("::")
    return f"{kind.rpartition(':')[2]} {name}"


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file at once: whoever reads it finds it whole."""
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    whole.write_text(text)
    whole.replace(path)


def _is_whole(path: pathlib.Path) -> bool:
    try:
        return "checkpoint" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False
