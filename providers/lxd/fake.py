"""A fake LXD in memory; it passes the same contract suite as the real one.

It models what the drivers rely on: marks in config, names by project, aliases
that point to images, errors for absent or existing objects, and containers
that get their device's address.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import pathlib
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from core import errors
from hosts import command
from providers.lxd import daemon

Json = dict[str, Any]
POWER = "volatile.last_state.power"


class FakeLxd:
    """A `daemon.Daemon` in memory.

    Attributes:
        hangs: Whether it has stopped answering.
        fails: Parts of `METHOD path`; requests that contain one fail.
        folder: Programs really run here, in a folder for each instance: their paths in /run,
            /tmp and /srv lead there.
    """

    program = "lxc"

    def __init__(self) -> None:
        self.hangs = False
        self.fails: set[str] = set()
        self.projects: dict[str, Json] = {"default": {"name": "default", "config": {}}}
        self.networks: dict[str, Json] = {}
        self.instances: dict[tuple[str, str], Json] = {}
        self.images: dict[str, Json] = {}
        self.aliases: dict[str, str] = {}
        self.descriptions: dict[str, str] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.volumes: dict[tuple[str, str], Json] = {}
        self.snapshots: dict[tuple[str, str, str], Json] = {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="grappe-fake-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.argv: list[list[str]] = []
        self.settled: list[list[str]] = []
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def add_image(self, alias: str, fingerprint: str = "") -> str:
        """Add an image, as somebody else would."""
        fingerprint = fingerprint or hashlib.sha256(alias.encode()).hexdigest()
        self.images[fingerprint] = {"fingerprint": fingerprint, "properties": {}}
        self.aliases[alias] = fingerprint
        return fingerprint

    def get(  # noqa: C901, PLR0911, PLR0912 - one case a request
        self, path: str, *, project: str = "", **query: str
    ) -> Any:
        """Return the metadata of an object."""
        self.meet(f"GET {path}")
        match path.split("/"):
            case [""]:
                return {"environment": {"server": "lxd"}}
            case ["operations"]:
                return {}
            case ["images", "aliases"]:
                names = [{"name": name, "target": to} for name, to in self.aliases.items()]
                return names if query.get("recursion") else [item["name"] for item in names]
            case ["images", "aliases", name]:
                target = _find(self.aliases, name, path)
                description = self.descriptions.get(name, "")
                return {"name": name, "target": target, "description": description}
            case ["images"]:
                return list(map(self._image, self.images))
            case ["images", start]:
                keys = [key for key in self.images if key.startswith(start)]
                _find(self.images, keys[0] if keys else "", path)
                return self._image(keys[0])
            case ["instances"]:
                inside = [item for (owner, _), item in self.instances.items() if owner == project]
                return copy.deepcopy(inside)
            case ["storage-pools"]:
                return ["/1.0/storage-pools/default"]
            case ["storage-pools", _pool, "volumes", "custom"]:
                held = [item for (owner, _), item in self.volumes.items() if owner == project]
                return copy.deepcopy(held)
            case ["networks" | "projects" as kind]:
                things = getattr(self, kind)
                if not query.get("recursion"):
                    return [f"/1.0/{kind}/{name}" for name in things]
                return copy.deepcopy(list(things.values()))
            case ["instances", name, "state"]:
                return self._state(_find(self.instances, (project, name), path))
            case ["instances", name]:
                found = copy.deepcopy(_find(self.instances, (project, name), path))
                # The fake's profiles bring nothing.
                return {**found, "expanded_config": found["config"]}
            case ["instances", instance, "snapshots", name]:
                return dict(_find(self.snapshots, (project, instance, name), path))
            case ["storage-pools", _pool, "volumes", "custom", name]:
                volume = copy.deepcopy(_find(self.volumes, (project, name), path))
                return {**volume, "used_by": self._users("source", name)}
            case ["networks", name]:
                bridge = copy.deepcopy(_find(self.networks, name, path))
                return {**bridge, "used_by": self._users("network", name)}
            case ["projects" as kind, name]:
                return copy.deepcopy(_find(getattr(self, kind), name, path))
        raise daemon.AbsentError(path)

    def change(  # noqa: C901, PLR0912 - one case a request
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        project: str = "",
        timeout: float = daemon.OPERATION_SECONDS,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Change an object at once, since callers wait for LXD's operations."""
        del timeout, query
        self.meet(f"{method} {path}")
        with self._lock:
            content = copy.deepcopy(dict(body or {}))
            match method, path.split("/"):
                case "POST", ["instances", name, "exec"]:
                    _find(self.instances, (project, name), path)
                    return {"return": 0}
                case "POST", ["instances", name]:
                    self._move(project, name, content["project"])
                case "POST", ["instances", instance, "snapshots"]:
                    _find(self.instances, (project, instance), path)
                    snapshot = {**content, "created_at": "2026-01-01T00:00:00Z"}
                    self.snapshots[project, instance, content["name"]] = snapshot
                case "POST", ["storage-pools", _pool, "volumes", "custom"]:
                    self.volumes[project, content["name"]] = content
                case "PUT", ["storage-pools", _pool, "volumes", "custom", name]:
                    _find(self.volumes, (project, name), path).update(content)
                case "POST", ["instances"]:
                    self._create_instance(project, content)
                case "POST", ["images"]:
                    return self._publish(project, content)
                case "POST", ["images", "aliases"]:
                    self.aliases[content["name"]] = content["target"]
                    self.descriptions[content["name"]] = content["description"]
                case "POST", ["networks" | "projects" as kind]:
                    self._create(kind, content)
                case "PUT", ["instances", name, "state"]:
                    instance = _find(self.instances, (project, name), path)
                    self._set_state(instance, content)
                    if instance["ephemeral"] and instance["status"] == "Stopped":
                        self._delete(["instances", name], project, path)
                case "PUT" | "PATCH", ["instances", name]:
                    self._put_instance(_find(self.instances, (project, name), path), content)
                case "PUT", ["images", "aliases", name]:
                    _find(self.aliases, name, path)
                    self.aliases[name] = content["target"]
                    self.descriptions[name] = content["description"]
                case "PUT", ["images" | "networks" | "projects" as kind, name]:
                    _find(getattr(self, kind), name, path).update(content)
                case "DELETE", parts:
                    self._delete(parts, project, path)
                case _:
                    raise errors.DaemonError(f"the fake does not know {method} {path}")
        return {}

    def begin(self, path: str, body: Mapping[str, Any], thing: str) -> None:
        """Make a thing at once."""
        del thing
        self.change("POST", path, body)

    def finish(self, thing: str) -> None:
        """Do nothing: `begin` has made the thing already."""

    def unblock(self, thing: str, *, project: str = "") -> bool:
        """Return false: nothing blocks the fake."""
        del thing, project
        return False

    def read_file(self, path: str, *, project: str = "", file: str = "") -> bytes:
        """Return a file of an instance, a folder's listing, or its console."""
        self.meet(f"GET {path}")
        name = path.split("/")[1]
        if path.endswith("/console"):
            return b"fake console\n"
        if (project, name, file) in self.files:
            return self.files[project, name, file]
        real = pathlib.Path(self._real(f"{project}-{name}", file))
        if str(real) != file and real.is_file():
            return real.read_bytes()
        inside = [
            entry.rpartition("/")[2]
            for owner, instance, entry in self.files
            if (owner, instance) == (project, name) and entry.rpartition("/")[0] == file
        ]
        if not inside:
            raise daemon.AbsentError(file)
        return json.dumps({"metadata": inside}).encode()

    def write_file(
        self, path: str, content: bytes, *, headers: Mapping[str, str], project: str, file: str
    ) -> None:
        """Write a file in an instance."""
        self.meet(f"POST {path}")
        if headers.get("X-LXD-type") == "directory":
            return
        self.files[project, path.split("/")[1], file] = content

    def _image(self, fingerprint: str) -> Json:
        named = [
            {"name": name, "description": self.descriptions.get(name, "")}
            for name, target in self.aliases.items() if target == fingerprint
        ]  # fmt: skip
        return {**copy.deepcopy(self.images[fingerprint]), "aliases": named}

    def remove_file(self, path: str, *, project: str, file: str) -> None:
        """Remove a file in an instance."""
        self.meet(f"DELETE {path}")
        if self.files.pop((project, path.split("/")[1], file), None) is None:
            raise daemon.AbsentError(file)

    def execute(
        self,
        instance: str,
        argv: list[str],
        *,
        project: str,
        timeout: float,
        on_output: daemon.OnOutput = daemon.ignore,
    ) -> daemon.Executed:
        """Run a program of this machine, with its paths in the instance's folder."""
        self.meet(f"POST instances/{instance}/exec")
        container = _find(self.instances, (project, instance), f"instances/{instance}")
        if container["status"] != "Running":
            raise errors.DaemonError("LXD on fake: refused", seen="Instance is not running")
        self.argv.append(argv)
        text = self.files.get((project, instance, argv[-1]))
        if text is None:
            return daemon.Executed(0, b"", b"")
        # The file's first line removes it.
        del self.files[project, instance, argv[-1]]
        room = f"{project}-{instance}"
        for folder in ("run", "tmp", "srv"):
            (self.folder / room / folder).mkdir(parents=True, exist_ok=True)
        program = self.folder / room / "program"
        program.write_text(self._real(room, text.decode()))
        done = command.execute(["sh", str(program)], timeout=timeout)
        for output in (done.stdout, done.stderr):
            if output:
                on_output(output.encode())
        return daemon.Executed(done.status, done.stdout.encode(), done.stderr.encode())

    def _real(self, room: str, text: str) -> str:
        return re.sub(r"(?<![\w/])/(run|tmp|srv)/", rf"{self.folder}/{room}/\1/", text)

    def upload_image(self, metadata: str, rootfs: str, *, properties: Mapping[str, str]) -> str:
        """Take an image's files."""
        self.meet("POST images")
        content = pathlib.Path(metadata).read_bytes() + pathlib.Path(rootfs).read_bytes()
        fingerprint = hashlib.sha256(content).hexdigest()
        self.images[fingerprint] = {"fingerprint": fingerprint, "properties": dict(properties)}
        return fingerprint

    def settle(self) -> None:
        """Note the current aliases."""
        self.settled.append(sorted(self.aliases))

    def meet(self, request: str) -> None:
        """Fail or hang as configured."""
        if self.hangs:
            raise errors.DaemonError("LXD on fake: does not answer", seen="no answer within 0 s")
        if any(part in request for part in self.fails):
            raise errors.DaemonError(f"LXD on fake: refused {request}", seen="told to fail")

    def _create(self, kind: str, content: Json) -> None:
        things = getattr(self, kind)
        if content["name"] in things:
            raise errors.DaemonError(f"{kind} {content['name']}", seen="already exists")
        things[content["name"]] = content

    def _create_instance(self, project: str, content: Json) -> None:
        _find(self.projects, project, f"projects/{project}")
        key = (project, content["name"])
        if key in self.instances:
            raise errors.DaemonError(f"instance {content['name']}", seen="already exists")
        source = content.pop("source")
        if source["type"] == "copy":
            original = _find(self.instances, (source["project"], source["source"]), "copy")
            content["config"] = {**original["config"], **content["config"]}
            base = content["config"]["volatile.base_image"]
            for owner, instance, path in list(self.files):
                if (owner, instance) == (source["project"], source["source"]):
                    self.files[(*key, path)] = self.files[owner, instance, path]
        else:
            image = _find(self.images, source["fingerprint"], "image")
            base, own = image["fingerprint"], content["name"].encode()
            fresh = {"/etc/ssh/ssh_host_ed25519_key": own, "/etc/machine-id": own}
            for path, text in image.get("files", fresh).items():
                self.files[(*key, path)] = text
        content["config"].pop(POWER, None)
        running = content.pop("start", False)
        content["config"]["volatile.base_image"] = base
        self.instances[key] = {
            "architecture": "x86_64",
            "ephemeral": False,
            "profiles": ["default"],
            "devices": {},
            "status": "Running" if running else "Stopped",
            "location": "none",
            "created_at": f"fake {next(self._ids)}",
            **content,
        }
        if running:
            content["config"][POWER] = "RUNNING"

    def _move(self, project: str, name: str, target: str) -> None:
        moved = _find(self.instances, (project, name), f"instances/{name}")
        if moved["status"] != "Stopped":
            raise errors.DaemonError(f"instance {name}", seen="Instance is running")
        del self.instances[project, name]
        self.instances[target, name] = moved
        for owner, instance, path in list(self.files):
            if (owner, instance) == (project, name):
                self.files[target, name, path] = self.files.pop((owner, instance, path))

    def _put_instance(self, instance: Json, content: Json) -> None:
        if set(content) == {"config"}:
            merged = {**instance["config"], **content["config"]}
            instance["config"] = {key: text for key, text in merged.items() if text != ""}
        else:
            instance.update(content)

    def _set_state(self, instance: Json, content: Json) -> None:
        after = {"start": "Running", "restart": "Running", "unfreeze": "Running",
                 "stop": "Stopped", "freeze": "Frozen"}  # fmt: skip
        instance["status"] = after[content["action"]]
        instance["config"][POWER] = "STOPPED" if instance["status"] == "Stopped" else "RUNNING"

    def _state(self, instance: Json) -> Json:
        addresses = [
            {"family": "inet", "address": device["ipv4.address"]}
            for device in instance["devices"].values()
            if instance["status"] == "Running" and device.get("ipv4.address")
        ]
        return {"status": instance["status"], "network": {"eth0": {"addresses": addresses}}}

    def _users(self, key: str, value: str) -> list[str]:
        """Return LXD's URLs of the instances with a device of something."""
        return [
            f"/1.0/instances/{instance}?project={owner}"
            for (owner, instance), item in self.instances.items()
            if any(device.get(key) == value for device in item["devices"].values())
        ]

    def _publish(self, project: str, content: Json) -> Json:
        name = content["source"]["name"]
        _find(self.instances, (project, name), name)
        inside = {path: text for (owner, instance, path), text in self.files.items()
                  if (owner, instance) == (project, name)}  # fmt: skip
        fingerprint = hashlib.sha256(f"{inside}{content['properties']}".encode()).hexdigest()
        self.images[fingerprint] = {
            "fingerprint": fingerprint, "properties": content["properties"], "files": inside,
        }  # fmt: skip
        return {"fingerprint": fingerprint}

    def _delete(  # noqa: C901 - one case a thing
        self, parts: list[str], project: str, path: str
    ) -> None:
        match parts:
            case ["instances", name]:
                container = _find(self.instances, (project, name), path)
                if container["status"] != "Stopped":
                    raise errors.DaemonError(f"instance {name}", seen="is running")
                if container["config"].get("security.protection.delete") == "true":
                    raise errors.DaemonError(f"instance {name}", seen="Instance is protected")
                del self.instances[project, name]
                self.files = {k: v for k, v in self.files.items() if k[:2] != (project, name)}
                kept = {k: v for k, v in self.snapshots.items() if k[:2] != (project, name)}
                self.snapshots = kept
            case ["instances", instance, "snapshots", name]:
                _find(self.snapshots, (project, instance, name), path)
                del self.snapshots[project, instance, name]
            case ["images", "aliases", name]:
                _find(self.aliases, name, path)
                del self.aliases[name]
            case ["networks", name] if self._users("network", name):
                raise errors.DaemonError(f"network {name}", seen="The network is currently in use")
            case ["storage-pools", _pool, "volumes", "custom", name] if self._users("source", name):
                raise errors.DaemonError(
                    f"volume {name}", seen="The storage volume is still in use"
                )
            case ["storage-pools", _pool, "volumes", "custom", name]:
                _find(self.volumes, (project, name), path)
                del self.volumes[project, name]
            case ["projects", name] if any(
                key[0] == name for key in (*self.instances, *self.volumes)
            ):
                raise errors.DaemonError(f"project {name}", seen="only empty projects can go")
            case [kind, name]:
                _find(getattr(self, kind), name, path)
                del getattr(self, kind)[name]
                if kind == "images":
                    self.aliases = {k: v for k, v in self.aliases.items() if v != name}


def _find(things: Any, key: Any, path: str) -> Any:
    if key not in things:
        raise daemon.AbsentError(path)
    return things[key]
