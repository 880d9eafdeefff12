"""Make, change and remove containers."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

from core import errors, names, run
from providers import base
from providers.lxd import daemon, delete_protection, ownership
from providers.lxd.container import model, readiness, start_failure
from providers.lxd.image import aliases
from remote import identity

# Seconds that LXD gives a start, and an orderly stop; and those that Grappe gives LXD beyond.
START_SECONDS = 30
STOP_SECONDS = 20
GRACE_SECONDS = 30
POLL_SECONDS = 1.0
DEFAULT_PROJECT = "default"
# Seconds: a diff follows the check that read the same container.
RECENT_SECONDS = 2.0
_recent_reads: dict[tuple[int, str, str], tuple[float, dict[str, Any]]] = {}
# The prefix of marks that other resources write on a container.
KEPT_MARKS = "user.grappe.snapshot."
GENERATION = "user.grappe.generation"
BASE_IMAGE = "volatile.base_image"
# LXD sets this key once a start has succeeded.
LAST_POWER = "volatile.last_state.power"


def remember(lxd: daemon.Daemon, project: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Keep a listing of a project's containers for the `read` of each that follows at once."""
    for item in items:
        _recent_reads[id(lxd), project, item["name"]] = (time.monotonic(), dict(item))


class ContainerDriver:
    """Containers of one daemon."""

    def __init__(self, lxd: daemon.Daemon, dial: readiness.Dial, url: str) -> None:
        self._lxd = lxd
        self._readiness = readiness.Readiness(lxd, dial, url)
        self._url = url

    def create(self, spec: model.ContainerSpec) -> base.Outputs:
        """Make and start the container; return when it is ready.

        It continues with a container that an interrupted run left, and recreates
        one from another image that never became ready.
        """
        if spec.adopt:
            self._adopt(spec)
        found = self._find(spec)
        whole = found is not None and self._await_creation(spec, found)
        if whole:
            found = self._find(spec)
        if found is not None and self._unfinished(spec, found, whole=whole):
            self.delete(spec)
            found = None
        if found is not None:
            try:
                return self._converge(spec)
            except errors.DaemonError as error:
                # After a power cut LXD may know a half-made container whose files are lost.
                half = found["config"].get(names.STAGE) == names.CREATING
                if not half or "no such file or directory" not in str(error).lower():
                    raise
            self.delete(spec)
        self._make(spec)
        return self._converge(spec)

    def _make(self, spec: model.ContainerSpec) -> None:
        """Make the container, stopped and without its NIC: a copy of the image's template, if any.

        `_converge` brings it to its spec; a copy keeps its original's marks until then.
        """
        fingerprint = aliases.resolve(self._lxd, spec.image)
        template = None if spec.target else aliases.template(self._lxd, fingerprint)
        source: dict[str, Any] = {"type": "image", "fingerprint": fingerprint}
        if template:
            project, name = template
            source = {"type": "copy", "source": name, "project": project, "instance_only": True}
        body = {
            "name": spec.name, "type": "container", "ephemeral": spec.ephemeral,
            "source": source, **_body(spec, names.CREATING),
        }  # fmt: skip
        # Its bridge may not be up yet: a NIC follows when it is.
        body["devices"] = {**body["devices"], model.NIC: {"type": "none"}}
        if template:
            # The copy must not keep the original's marks.
            unmarked = dict.fromkeys(identity.MARKS.values(), "")
            body["config"] = {**unmarked, **body["config"], BASE_IMAGE: fingerprint}
        query = {"target": spec.target} if spec.target else {}
        self._lxd.change(
            "POST",
            "instances",
            body,
            project=spec.project,
            query=query,
            timeout=daemon.COPY_SECONDS,
        )

    def _await_creation(self, spec: model.ContainerSpec, found: dict[str, Any]) -> bool:
        """Wait while LXD still creates what an earlier run began; return whether it did.

        Raises:
            errors.UnfinishedError: It takes longer than daemon.COPY_SECONDS.
        """
        if found["config"].get(names.STAGE) != names.CREATING or found["config"].get(LAST_POWER):
            return False
        deadline, waited = time.monotonic() + daemon.COPY_SECONDS, False
        while self._is_worked_on(spec):
            if time.monotonic() > deadline:
                raise errors.UnfinishedError(
                    f"LXD on {self._url} still creates {spec.id}, as an earlier run asked it to",
                    do=f"{self._lxd.program} operation list; running this again is safe",
                )
            waited = True
            run.raise_if_cancelled()
            time.sleep(POLL_SECONDS)
        return waited

    def _is_worked_on(self, spec: model.ContainerSpec) -> bool:
        """Whether LXD runs an operation on the container."""
        listed = self._lxd.get("operations", project=spec.project, recursion="1") or {}
        urls = [
            url
            for operation in listed.get("running") or ()
            for url in (operation.get("resources") or {}).get("instances") or ()
        ]
        return any(url.partition("?")[0].endswith(f"/instances/{spec.name}") for url in urls)

    def _unfinished(
        self, spec: model.ContainerSpec, found: dict[str, Any], *, whole: bool = False
    ) -> bool:
        """Whether to recreate a container of an earlier run; never one that became ready.

        Args:
            spec: The wanted one.
            found: The container.
            whole: Whether LXD has just finished its creation.
        """
        stage = found["config"].get(names.STAGE)
        if stage == names.RECREATE or found["config"].get(GENERATION, "") != spec.generation:
            return True
        if stage == names.CREATING and not whole and not found["config"].get(LAST_POWER):
            # A power cut leaves a half-copied container; nobody ever used it.
            return True
        made_from = found["config"].get(BASE_IMAGE, "")
        # The alias may have moved since; a server follows only a rebuild order.
        if spec.adopt or (stage == names.READY and found["config"].get(names.IMAGE) == spec.image):
            return False
        if made_from == aliases.resolve(self._lxd, spec.image):
            return False
        if stage == names.CREATING:
            return True
        raise errors.NotOursError(
            f"{spec.id} exists already, from another image than {spec.image}",
            seen=f"it was made from {made_from[:12] or '?'}",
            do=f"to keep it: grappe:adopt: true; if its content may go: {self._lxd.program} "
            f"delete --force {spec.name} --project {spec.project}",
        )

    def _adopt(self, spec: model.ContainerSpec) -> None:
        """Take over a container without an owner, from this or the default project."""
        path = f"instances/{spec.name}"
        for project in (spec.project, DEFAULT_PROJECT):
            found = daemon.find(self._lxd, path, project=project)
            if found is None:
                continue
            held = identity.held_in_config(found["config"])
            if identity.belongs(held, spec.owner, spec.lab):
                return
            if held["owner"]:
                raise errors.NotOursError(
                    f"{project}/{spec.name} cannot be adopted",
                    seen=identity.whose(held, spec.owner),
                    do="choose another name, or take it down there first",
                )  # fmt: skip
            if project != spec.project:
                if found["status"] != "Stopped":
                    if found["ephemeral"]:
                        raise errors.NotOursError(
                            f"{project}/{spec.name} cannot be adopted",
                            seen="it is ephemeral: it would be deleted when it stops for the move "
                            f"to the project {spec.project}",
                            do=f"copy it first: {self._lxd.program} copy {spec.name} NEW "
                            f"--project {project}",
                        )  # fmt: skip
                    # LXD moves only a stopped instance into another project.
                    self._stop(dataclasses.replace(spec, project=project))
                body = {"name": spec.name, "project": spec.project, "migration": True}
                self._lxd.change("POST", path, body, project=project, timeout=daemon.COPY_SECONDS)
            marks = {**ownership.marks(spec), names.STAGE: names.READY}
            if spec.generation:
                marks[GENERATION] = spec.generation
            self._lxd.change("PATCH", path, {"config": marks}, project=spec.project)
            return

    def read(self, spec: model.ContainerSpec) -> base.Reading[model.ContainerSpec] | None:
        """Read the container."""
        found = self._find_recent(spec)
        if found is None:
            return None
        config, limits = model.split_settings(ownership.visible(found["config"]))
        device = found["devices"].get(model.NIC, {})
        root = found["devices"].get(model.ROOT, {})
        apart = (model.NIC, model.ROOT)
        others = {key: value for key, value in found["devices"].items() if key not in apart}
        stage = found["config"].get(names.STAGE)
        actual = dataclasses.replace(
            ownership.marked(spec, found["config"]),
            profiles=tuple(found["profiles"]),
            config=config,
            limits=limits,
            network=device.get("network", ""),
            address=device.get("ipv4.address", ""),
            state="any" if spec.state == "any" else found["status"].lower(),
            devices=others,
            disk=root.get("size", ""),
            pool=root.get("pool", spec.pool) if spec.disk else spec.pool,
            ephemeral=found["ephemeral"],
            target=found.get("location", "") if spec.target else "",
            generation=found["config"].get(GENERATION, ""),
        )
        drift = []
        extra = sorted(device.keys() - model.devices(spec)[model.NIC].keys())
        if extra:
            drift.append(f"its {model.NIC} has settings of its own: {', '.join(extra)}")
        if stage == names.CREATING:
            drift.append("it never became ready")
        remake = "--rebuild" if run.rebuilds(spec.name) else ""
        if stage == names.RECREATE:
            remake = "it is marked so"
        return base.Reading(actual, _outputs(found), "; ".join(drift), remake)

    def read_ahead(self, spec: model.ContainerSpec) -> base.Reading[model.ContainerSpec] | None:
        """Read the container, and keep the result for the `read` that follows at once."""
        found = self._find(spec)
        if found is None:
            return None
        _recent_reads[self._key(spec)] = (time.monotonic(), found)
        reading = self.read(spec)
        _recent_reads[self._key(spec)] = (time.monotonic(), found)
        return reading

    def _key(self, spec: model.ContainerSpec) -> tuple[int, str, str]:
        return (id(self._lxd), spec.project, spec.name)

    def _find_recent(self, spec: model.ContainerSpec) -> dict[str, Any] | None:
        seen, found = _recent_reads.pop(self._key(spec), (0.0, None))
        if found is None or time.monotonic() - seen > RECENT_SECONDS:
            return self._find(spec)
        ownership.demand(found, spec, f"the container {spec.id}")
        return found

    def update(self, old: model.ContainerSpec, new: model.ContainerSpec) -> base.Outputs:
        """Change the container live; only a new address needs a restart.

        Raises:
            errors.DaemonError: The container is gone, or LXD refuses the change.
        """
        found = self._find(new)
        if found is None:
            raise errors.DaemonError(
                f"{new.id} has gone from {self._url} since it was looked at", do="run it again"
            )
        device, wanted = found["devices"].get(model.NIC, {}), model.devices(new)[model.NIC]
        moved = any(device.get(key) != wanted[key] for key in ("network", "ipv4.address"))
        del old
        return self._converge(new, restart=moved)

    def delete(self, spec: model.ContainerSpec) -> None:
        """Stop and remove the container."""
        found = self._find(spec)
        if found is None:
            return
        if found["status"] != "Stopped":
            self._kill(spec)
        delete_protection.lift(self._lxd, found, f"instances/{spec.name}", spec.project)
        try:
            self._remove(spec)
        except errors.DaemonError as error:
            # LXD first changes files of a server whose disk is full; the second time it need not.
            if "quota exceeded" not in error.seen:
                raise
            self._remove(spec)

    def _remove(self, spec: model.ContainerSpec) -> None:
        with contextlib.suppress(daemon.AbsentError):
            self._lxd.change("DELETE", f"instances/{spec.name}", project=spec.project)

    def _find(self, spec: model.ContainerSpec) -> dict[str, Any] | None:
        return ownership.container(self._lxd, spec, spec.project, spec.name)

    def _converge(self, spec: model.ContainerSpec, *, restart: bool = False) -> base.Outputs:
        """Bring an existing container to its spec, and wait until it is ready."""
        self._lxd.finish(f"networks/{spec.network}")
        found = self._lxd.get(f"instances/{spec.name}", project=spec.project)
        stage = found["config"].get(names.STAGE, names.CREATING)
        if _differs(found, spec):
            self._put(spec, found, stage)
        running = found["status"] == "Running"
        wanted = "stopped" if spec.state == "any" and stage == names.READY else spec.state
        if wanted != "stopped":
            if found["status"] == "Frozen":
                self._set_state(spec, "unfreeze")
                running = True
            if running and restart and found["ephemeral"]:
                # LXD's own restart keeps it; a stop would delete it.
                self._set_state(spec, "restart", timeout=STOP_SECONDS)
            elif running and restart:
                self._stop(spec)
                running = False
            if not running:
                self._start(spec)
            self._readiness.wait(spec)
        elif found["status"] != "Stopped" and spec.state == "stopped":
            self._stop(spec)
        found = self._lxd.get(f"instances/{spec.name}", project=spec.project)
        if stage != names.READY:
            ready = {"config": {names.STAGE: names.READY}}
            self._lxd.change("PATCH", f"instances/{spec.name}", ready, project=spec.project)
        return _outputs(found)

    def _put(self, spec: model.ContainerSpec, found: dict[str, Any], stage: str) -> None:
        kept = {
            key: value
            for key, value in found["config"].items()
            if key.startswith(("volatile.", "image.", KEPT_MARKS))
        }
        body = _body(spec, stage)
        body["config"].update(kept)
        body["architecture"] = found["architecture"]
        body["ephemeral"] = found["ephemeral"]
        self._lxd.change("PUT", f"instances/{spec.name}", body, project=spec.project)

    def _start(self, spec: model.ContainerSpec) -> None:
        try:
            self._set_state(spec, "start", timeout=START_SECONDS)
        except errors.DaemonError as error:
            # An LXD that was restarted or is silent may still be starting it.
            hung = isinstance(error, errors.UnfinishedError) and self._lxd.unblock(
                f"instances/{spec.name}", project=spec.project
            )
            raise start_failure.diagnose(self._lxd, spec, error, hung=hung) from error

    def _kill(self, spec: model.ContainerSpec) -> None:
        """Stop a container by force before its removal."""
        try:
            self._set_state(spec, "stop", force=True)
        except errors.DaemonError:
            if not self._lxd.unblock(f"instances/{spec.name}", project=spec.project):
                raise

    def _stop(self, spec: model.ContainerSpec) -> None:
        """Stop a container in good order; by force where its system does not end, or cannot."""
        try:
            self._set_state(spec, "stop", timeout=STOP_SECONDS)
        except errors.DaemonError:
            found = self._lxd.get(f"instances/{spec.name}", project=spec.project)
            if found["status"] != "Stopped":
                self._set_state(spec, "stop", force=True)

    def _set_state(
        self, spec: model.ContainerSpec, action: str, *, force: bool = False, timeout: int = 30
    ) -> None:
        path, seconds = f"instances/{spec.name}/state", timeout + GRACE_SECONDS
        body = {"action": action, "force": force, "timeout": timeout}
        self._lxd.change("PUT", path, body, project=spec.project, timeout=seconds)


def _differs(found: dict[str, Any], spec: model.ContainerSpec) -> bool:
    return (
        ownership.visible(found["config"]) != model.settings(spec)
        or found["devices"] != model.devices(spec)
        or tuple(found["profiles"]) != spec.profiles
        or ownership.marked(spec, found["config"]) != spec
    )


def _body(spec: model.ContainerSpec, stage: str) -> dict[str, Any]:
    marks = {**ownership.marks(spec), names.STAGE: stage, names.IMAGE: spec.image}
    if spec.generation:
        marks[GENERATION] = spec.generation
    return {
        "config": {**model.settings(spec), **marks},
        "devices": model.devices(spec),
        "profiles": list(spec.profiles),
    }


def _outputs(found: dict[str, Any]) -> base.Outputs:
    return {
        "fingerprint": found["config"].get(BASE_IMAGE, ""),
        "container_id": ownership.identity_of(found),
    }
