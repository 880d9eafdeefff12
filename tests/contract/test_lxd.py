"""What every LXD driver keeps to, on the fake and on the real daemon."""

from __future__ import annotations

import dataclasses
import pathlib
import tarfile

import pytest

from core import errors, names
from providers.lxd import daemon
from providers.lxd.container import driver as containers
from providers.lxd.container import model as container_model
from providers.lxd.image import aliases
from providers.lxd.image import driver as images
from providers.lxd.image import model as image_model
from providers.lxd.network import driver as networks
from providers.lxd.network import model as network_model
from providers.lxd.project import driver as projects
from providers.lxd.project import model as project_model
from providers.lxd.published import driver as published
from providers.lxd.published import model as published_model
from tests.contract.conftest import BRIDGE, OWNER, PROJECT, LxdWorld

STRANGER = "grappe/stranger"


def project(world: LxdWorld) -> project_model.ProjectSpec:
    return project_model.ProjectSpec(host=world.url, owner=OWNER, name=PROJECT)


def bridge(world: LxdWorld) -> network_model.NetworkSpec:
    return network_model.NetworkSpec(
        host=world.url, owner=OWNER, name=BRIDGE, address="10.79.159.1/24"
    )


def server(world: LxdWorld, **changes: object) -> container_model.ContainerSpec:
    spec = container_model.ContainerSpec(
        host=world.url, owner=OWNER, name="yuno1", project=PROJECT, image=world.image,
        network=BRIDGE, address="10.79.159.10",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def container_driver(world: LxdWorld) -> containers.ContainerDriver:
    return containers.ContainerDriver(world.lxd, world.dial, world.url)


class TestProjectAndNetwork:
    """Projects and networks are alike: marked, configured, removed."""

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_it_is_created_read_updated_and_deleted(self, world: LxdWorld, kind: str) -> None:
        """Made, read as made, made again as if interrupted, changed, removed twice."""
        if kind == "project":
            driver, spec = projects.ProjectDriver(world.lxd), project(world)
            changed = dataclasses.replace(spec, config={"user.note": "a"})
        else:
            driver, spec = networks.NetworkDriver(world.lxd), bridge(world)
            changed = dataclasses.replace(spec, address="10.79.159.254/24")
        assert driver.read(spec) is None

        driver.create(spec)
        assert spec == driver.read(spec).spec
        driver.create(spec)
        assert "" == driver.read(spec).drift

        driver.update(spec, changed)
        assert changed == driver.read(spec).spec

        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

    def test_lost_masquerade_is_drift_and_is_restored(self, world: LxdWorld) -> None:
        """LXD loads its rules where the setting changes; in the end it is as it was."""
        lost, asked = ["its servers do not reach the internet"], []

        def is_lost(_spec: object) -> str:
            asked.append(world.lxd.get(f"networks/{BRIDGE}")["config"]["ipv4.nat"])
            return "".join(lost)

        driver, spec = networks.NetworkDriver(world.lxd, is_lost), bridge(world)
        networks.NetworkDriver(world.lxd).create(spec)
        assert "its servers do not reach the internet" in driver.read(spec).drift
        driver.update(spec, spec)
        assert ["true", "true"] == asked
        lost.clear()
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        driver.delete(spec)

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_bridge_removed_in_its_making_can_be_made_again(
        self, world: LxdWorld, by_hand: bool
    ) -> None:
        """Our own removal waits for LXD; after another's, the next `create` starts afresh."""
        driver, spec = networks.NetworkDriver(world.lxd), bridge(world)
        driver.create(spec)
        if by_hand and world.on_host:
            world.on_host(f"lxc network delete {BRIDGE}")
        else:
            world.lxd.change("DELETE", f"networks/{BRIDGE}")
        assert driver.read(spec) is None
        driver.create(spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        driver.delete(spec)

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_object_of_another_lab_is_left_alone(self, room: LxdWorld, kind: str) -> None:
        """Every action refuses, and names the owner."""
        if kind == "project":
            driver, spec = projects.ProjectDriver(room.lxd), project(room)
        else:
            driver, spec = networks.NetworkDriver(room.lxd), bridge(room)
        foreign = dataclasses.replace(spec, owner=STRANGER)
        for action in (driver.create, driver.read, driver.delete):
            with pytest.raises(errors.NotOursError, match="it belongs to grappe/contract"):
                action(foreign)
        assert driver.read(spec) is not None

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_only_the_daemon_reports_it_missing(self, room: LxdWorld, kind: str) -> None:
        """Deleted by hand it is gone, and is made again; a hung daemon raises instead."""
        if kind == "project":
            make, spec, path = projects.ProjectDriver, project(room), f"projects/{PROJECT}"
        else:
            make, spec, path = networks.NetworkDriver, bridge(room), f"networks/{BRIDGE}"
        with room.hung() as lxd:
            for action in (make(lxd).read, make(lxd).delete, make(lxd).create):
                with pytest.raises(errors.DaemonError, match="no answer within"):
                    action(spec)
        assert make(room.lxd).read(spec) is not None
        room.lxd.change("DELETE", path)
        assert make(room.lxd).read(spec) is None
        make(room.lxd).create(spec)
        assert spec == make(room.lxd).read(spec).spec

    def test_bridge_changed_by_hand_is_drift(self, room: LxdWorld) -> None:
        """An address comes back as itself, another setting as drift; an update mends both."""
        spec, driver = bridge(room), networks.NetworkDriver(room.lxd)
        found = room.lxd.get(f"networks/{BRIDGE}")
        config = {**found["config"], "ipv4.address": "10.79.159.9/24", "ipv4.nat": "false"}
        room.lxd.change("PUT", f"networks/{BRIDGE}", {"description": "", "config": config})
        reading = driver.read(spec)
        assert "10.79.159.9/24" == reading.spec.address
        assert "ipv4.nat is false, not true" == reading.drift
        driver.update(spec, spec)
        assert spec == driver.read(spec).spec
        assert "" == driver.read(spec).drift


class TestContainer:
    """A container is made once, changed live, and mended."""

    def test_it_is_created_read_updated_and_deleted(self, room: LxdWorld) -> None:
        """Made and ready, no-op, limits and config changed live, removed twice."""
        driver, spec = container_driver(room), server(room, limits={"memory": "256MiB"})
        assert driver.read(spec) is None
        outputs = driver.create(spec)
        assert aliases.resolve(room.lxd, room.image) == outputs["fingerprint"]
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        assert outputs == driver.create(spec)

        changed = server(
            room, limits={"memory": "300MiB", "processes": "500"}, config={"user.note": "hello"}
        )
        driver.update(spec, changed)
        assert changed == driver.read(spec).spec

        stopped = dataclasses.replace(changed, state="stopped")
        driver.update(changed, stopped)
        assert stopped == driver.read(stopped).spec

        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

    def test_container_that_does_not_shut_down_is_stopped_by_force(
        self, room: LxdWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever LXD calls it: on a busy host a system may refuse, or take too long."""
        driver, spec = container_driver(room), server(room)
        driver.create(spec)
        change, orderly = room.lxd.change, []

        def refuse(
            method: str, path: str, body: dict[str, object] | None = None, **more: object
        ) -> object:
            if body and body.get("action") == "stop" and not body["force"]:
                orderly.append(path)
                raise errors.DaemonError("LXD failed", seen="shutting down the container failed")
            return change(method, path, body, **more)

        monkeypatch.setattr(room.lxd, "change", refuse)
        stopped = dataclasses.replace(spec, state="stopped")
        driver.update(spec, stopped)
        assert ["instances/yuno1/state"] == orderly
        assert stopped == driver.read(stopped).spec
        driver.delete(stopped)

    def test_protected_container_is_deleted_on_order(self, room: LxdWorld) -> None:
        """LXD refuses to delete it; a profile may have brought that long after its start."""
        driver, spec = container_driver(room), server(room, state="stopped")
        driver.create(spec)
        body = {"config": {"security.protection.delete": "true"}}
        room.lxd.change("PATCH", "instances/yuno1", body, project=PROJECT)
        with pytest.raises(errors.DaemonError):
            room.lxd.change("DELETE", "instances/yuno1", project=PROJECT)
        driver.delete(spec)
        assert driver.read(spec) is None

    def test_bridge_that_fails_late_stops_its_containers(
        self, room: LxdWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The copy is there without a NIC, and never started; the next run makes it whole."""
        driver, spec = container_driver(room), server(room)

        def fail(thing: str) -> None:
            raise errors.DaemonError(f"LXD failed: {thing}")

        with monkeypatch.context() as patched:
            patched.setattr(room.lxd, "finish", fail)
            with pytest.raises(errors.DaemonError, match=f"LXD failed: networks/{BRIDGE}"):
                driver.create(spec)
        found = room.lxd.get("instances/yuno1", project=PROJECT)
        assert ("Stopped", {"type": "none"}) == (found["status"], found["devices"]["eth0"])
        assert "it never became ready" in driver.read(spec).drift
        driver.create(spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)

    def test_never_started_container_is_recreated(self, room: LxdWorld) -> None:
        """What LXD copied may be half of it: it is made again; one that was started is taken up."""
        driver, spec = container_driver(room), server(room, state="stopped")
        made = []
        for start in (False, True):
            driver.create(spec)
            made.append(room.lxd.get("instances/yuno1", project=PROJECT)["created_at"])
            if start:
                driver.update(spec, server(room))
            half = {"config": {names.STAGE: names.CREATING}}
            room.lxd.change("PATCH", "instances/yuno1", half, project=PROJECT)
        driver.create(server(room))
        made.append(room.lxd.get("instances/yuno1", project=PROJECT)["created_at"])
        assert made[0] != made[1] == made[2]

    def test_drift_is_read_and_repaired(self, room: LxdWorld) -> None:
        """Stopped and reconfigured by hand: read says how it is, update brings it back."""
        driver, spec = container_driver(room), server(room)
        driver.create(spec)
        path = "instances/yuno1"
        room.lxd.change("PUT", f"{path}/state", {"action": "stop", "force": True}, project=PROJECT)
        body = {"config": {"limits.memory": "128MiB"}}
        room.lxd.change("PATCH", path, body, project=PROJECT)
        reading = driver.read(spec)
        assert ("stopped", {"memory": "128MiB"}) == (reading.spec.state, reading.spec.limits)
        driver.update(reading.spec, spec)
        assert spec == driver.read(spec).spec

    def test_renamed_lab_keeps_its_container(self, room: LxdWorld) -> None:
        """It gets its id, then another owner, and neither restarts it; a stranger has no way in."""
        driver, spec = container_driver(room), server(room)
        driver.create(spec)
        before = room.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        marked = dataclasses.replace(spec, lab="alicealice01", incarnation="1")
        driver.update(spec, marked)
        assert marked == driver.read(marked).spec
        renamed = dataclasses.replace(marked, owner="grappe/renamed")
        driver.update(marked, renamed)
        assert renamed == driver.read(renamed).spec
        assert before == room.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        with pytest.raises(errors.NotOursError, match="grappe:id: alicealice01"):
            driver.read(dataclasses.replace(renamed, lab="another00001"))
        driver.delete(renamed)

    def test_new_address_is_an_update(self, room: LxdWorld) -> None:
        """The container keeps its content and answers at the new address."""
        driver, spec = container_driver(room), server(room)
        driver.create(spec)
        moved = dataclasses.replace(spec, address="10.79.159.20")
        driver.update(spec, moved)
        assert moved == driver.read(spec).spec

    def test_create_that_failed_half_way_resumes(self, room: LxdWorld) -> None:
        """The failure says what was seen; the next create finishes the same container."""
        driver = container_driver(room)
        with pytest.raises(errors.NotReadyError) as failure:
            driver.create(server(room, port=9, port_seconds=1))
        assert "does not answer on 10.79.159.10:9" in str(failure.value)
        assert "its console:" in str(failure.value)
        assert "it never became ready" == driver.read(server(room)).drift
        driver.create(server(room))
        assert "" == driver.read(server(room)).drift

    def test_ready_container_is_never_recreated(self, room: LxdWorld) -> None:
        """A container of ours from another image is refused, with the command that would do it."""
        driver, spec = container_driver(room), server(room)
        driver.create(spec)
        config = {"volatile.base_image": "0" * 64, "user.grappe.image": "another"}
        found = room.lxd.get("instances/yuno1", project=PROJECT)
        body = {**found, "config": {**found["config"], **config}}
        room.lxd.change("PUT", "instances/yuno1", body, project=PROJECT)
        with pytest.raises(errors.NotOursError, match="(lxc|incus) delete --force yuno1"):
            driver.create(spec)

    def test_container_deleted_by_hand_is_missing(self, room: LxdWorld) -> None:
        """Only the daemon's own word makes it gone."""
        driver, spec = container_driver(room), server(room, state="stopped")
        driver.create(spec)
        room.lxd.change("DELETE", "instances/yuno1", project=PROJECT)
        assert driver.read(spec) is None

    def test_unknown_image_error_lists_known_images(self, room: LxdWorld) -> None:
        """The error lists the host's aliases, and nothing is left."""
        with pytest.raises(errors.BadInputError, match="aliases on the host: .*standin"):
            container_driver(room).create(server(room, image="nope"))
        assert container_driver(room).read(server(room)) is None

    def test_hung_daemon_does_not_read_as_missing(self, room: LxdWorld) -> None:
        """No answer raises; it does not read as absent, nor does delete succeed."""
        container_driver(room).create(server(room, state="stopped"))
        with room.hung() as lxd:
            driver = containers.ContainerDriver(lxd, room.dial, room.url)
            with pytest.raises(errors.DaemonError, match="no answer within"):
                driver.read(server(room))
            with pytest.raises(errors.DaemonError, match="does not answer"):
                driver.delete(server(room))
        assert container_driver(room).read(server(room)) is not None

    def test_copy_outside_the_lab_is_somebody_elses(self, room: LxdWorld) -> None:
        """It carries the lab's marks; the bridge cannot go, and says whose it waits for."""
        driver, spec = container_driver(room), server(room, state="stopped")
        driver.create(spec)
        source = {"type": "copy", "source": "yuno1", "project": PROJECT, "container_only": True}
        own = room.lxd.get("instances/yuno1", project=PROJECT)
        body = {
            "name": "kept",
            "source": source,
            "config": own["config"],
            "devices": own["devices"],
            "profiles": own["profiles"],
        }
        room.lxd.change("POST", "instances", body, project="default")
        try:
            driver.delete(spec)
            with pytest.raises(errors.NotOursError, match="used by kept of project default"):
                networks.NetworkDriver(room.lxd).empty(bridge(room))
            assert "kept" == room.lxd.get("instances/kept", project="default")["name"]
        finally:
            room.lxd.change("DELETE", "instances/kept", project="default")
        assert [] == networks.NetworkDriver(room.lxd).empty(bridge(room))


class TestImage:
    """Images, from files and published."""

    def files(self, folder: pathlib.Path, content: str) -> dict[str, str]:
        """Make the two files of a small image."""
        (folder / "metadata.yaml").write_text(
            "architecture: x86_64\ncreation_date: 1\nproperties:\n  os: none\n"
        )
        (folder / "etc").mkdir(exist_ok=True)
        (folder / "etc" / "content").write_text(content)
        for name, inside in (("metadata.tar", "metadata.yaml"), ("rootfs.tar", "etc")):
            with tarfile.open(folder / name, "w") as tar:
                tar.add(folder / inside, inside)
        return {"metadata": str(folder / "metadata.tar"), "rootfs": str(folder / "rootfs.tar")}

    def test_image_from_files_is_created_and_deleted(
        self, world: LxdWorld, tmp_path: pathlib.Path
    ) -> None:
        """Sent once, changed files move the alias and remove the old image, removed twice."""

        def spec(content: str) -> image_model.ImageSpec:
            files = self.files(tmp_path, content)
            digest = image_model.fingerprint(**files)
            return image_model.ImageSpec(
                host=world.url, owner=OWNER, name="contract", digest=digest, **files
            )

        driver, first = images.ImageDriver(world.lxd), spec("one")
        assert driver.read(first) is None
        driver.create(first)
        driver.create(first)
        assert first == driver.read(first).spec

        second = spec("two")
        driver.update(first, second)
        assert second.digest == aliases.target(world.lxd, "contract")
        assert aliases.image(world.lxd, first.digest) is None

        driver.delete(second)
        assert driver.read(second) is None
        driver.delete(second)

    def test_published_image_is_a_generalised_copy(self, room: LxdWorld) -> None:
        """The alias leads to the image, the container keeps its keys, the copy is gone."""
        container_driver(room).create(server(room))
        files = "instances/yuno1/files"
        key = "/etc/ssh/ssh_host_ed25519_key"
        before = room.lxd.read_file(files, project=PROJECT, file=key)
        driver = published.PublishedDriver(room.lxd)
        spec = published_model.PublishedSpec(
            host=room.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1",
            properties={"recipe": "abc"}, running="restart",
        )  # fmt: skip
        outputs = driver.create(spec)
        assert outputs["fingerprint"] == aliases.target(room.lxd, "contract")
        assert (spec, outputs) == (driver.read(spec).spec, driver.read(spec).outputs)
        assert before == room.lxd.read_file(files, project=PROJECT, file=key)
        assert "Running" == room.lxd.get("instances/yuno1", project=PROJECT)["status"]
        # As after a state that was lost: the image is there, and is taken up.
        assert outputs == driver.create(spec)
        copy = room.lxd.get("instances/yuno1-published", project=PROJECT)
        assert "Stopped" == copy["status"]
        assert {"eth0": {"type": "none"}} == copy["devices"]

        clone = server(room, name="yuno2", image="contract", address="10.79.159.11")
        container_driver(room).create(dataclasses.replace(clone, state="stopped"))
        with pytest.raises(daemon.AbsentError):
            room.lxd.read_file("instances/yuno2/files", project=PROJECT, file=key)
        made_from = room.lxd.get("instances/yuno2", project=PROJECT)["config"]
        assert outputs["fingerprint"] == made_from["volatile.base_image"]
        driver.delete(spec)
        assert driver.read(spec) is None
        with pytest.raises(daemon.AbsentError):
            room.lxd.get("instances/yuno1-published", project=PROJECT)
        driver.delete(spec)

    def test_image_without_its_template_still_works(self, room: LxdWorld) -> None:
        """Somebody removed the copy: a server starts from the image itself."""
        container_driver(room).create(server(room, state="stopped"))
        spec = published_model.PublishedSpec(
            host=room.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1"
        )
        driver = published.PublishedDriver(room.lxd)
        outputs = driver.create(spec)
        room.lxd.change("DELETE", "instances/yuno1-published", project=PROJECT)
        clone = server(room, name="yuno2", image="contract", state="stopped",
                       address="10.79.159.11")  # fmt: skip
        assert outputs["fingerprint"] == container_driver(room).create(clone)["fingerprint"]
        assert "" == container_driver(room).read(clone).drift
        driver.delete(spec)

    def test_alias_of_another_lab_is_left_alone(self, room: LxdWorld) -> None:
        """An alias that Grappe did not make is not moved."""
        spec = published_model.PublishedSpec(
            host=room.url, owner=OWNER, name=room.image, project=PROJECT, container="yuno1"
        )
        with pytest.raises(errors.NotOursError, match="not made by Grappe"):
            published.PublishedDriver(room.lxd).create(spec)
