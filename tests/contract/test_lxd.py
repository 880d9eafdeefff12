"""The contract of the LXD drivers of project, network, container and image; fake and real LXD."""

from __future__ import annotations

import dataclasses
import pathlib
import tarfile
import time
from typing import Any

import pytest

from core import errors, names
from providers.lxd import daemon, leftovers, ownership
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
from tests.contract.conftest import BRIDGE, OWNER, PROJECT, LxdTestbed

STRANGER = "grappe/stranger"


def project(testbed: LxdTestbed) -> project_model.ProjectSpec:
    return project_model.ProjectSpec(host=testbed.url, owner=OWNER, name=PROJECT)


def bridge(testbed: LxdTestbed) -> network_model.NetworkSpec:
    return network_model.NetworkSpec(
        host=testbed.url, owner=OWNER, name=BRIDGE, address="10.79.159.1/24"
    )


def server(testbed: LxdTestbed, **changes: object) -> container_model.ContainerSpec:
    spec = container_model.ContainerSpec(
        host=testbed.url, owner=OWNER, name="yuno1", project=PROJECT, image=testbed.image,
        network=BRIDGE, address="10.79.159.10",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def container_driver(testbed: LxdTestbed) -> containers.ContainerDriver:
    return containers.ContainerDriver(testbed.lxd, testbed.dial, testbed.url)


class TestProjectAndNetwork:
    """Projects and networks are alike: marked, configured, removed."""

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_object_is_created_read_updated_and_deleted(
        self, testbed: LxdTestbed, kind: str
    ) -> None:
        """create, read, create again as after an interruption, update, and delete twice."""
        if kind == "project":
            driver, spec = projects.ProjectDriver(testbed.lxd), project(testbed)
            changed = dataclasses.replace(spec, config={"user.note": "a"})
        else:
            driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
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

    def test_lost_masquerade_is_drift_and_is_restored(self, testbed: LxdTestbed) -> None:
        """LXD loads its rules only when a setting changes; the update restores the setting."""
        lost, asked = ["its servers do not reach the internet"], []

        def is_lost(_spec: object) -> str:
            asked.append(testbed.lxd.get(f"networks/{BRIDGE}")["config"]["ipv4.nat"])
            return "".join(lost)

        driver, spec = networks.NetworkDriver(testbed.lxd, is_lost), bridge(testbed)
        networks.NetworkDriver(testbed.lxd).create(spec)
        assert "its servers do not reach the internet" in driver.read(spec).drift
        driver.update(spec, spec)
        assert ["true", "true"] == asked
        lost.clear()
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        driver.delete(spec)

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_bridge_removed_during_create_can_be_created_again(
        self, testbed: LxdTestbed, by_hand: bool
    ) -> None:
        """Our own removal waits for LXD; after another's, the next `create` starts afresh."""
        driver, spec = networks.NetworkDriver(testbed.lxd), bridge(testbed)
        driver.create(spec)
        if by_hand and testbed.on_host:
            testbed.on_host(f"lxc network delete {BRIDGE}")
        else:
            testbed.lxd.change("DELETE", f"networks/{BRIDGE}")
        assert driver.read(spec) is None
        driver.create(spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        driver.delete(spec)

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_object_of_another_lab_is_left_alone(self, lab: LxdTestbed, kind: str) -> None:
        """Every action refuses, and names the owner."""
        if kind == "project":
            driver, spec = projects.ProjectDriver(lab.lxd), project(lab)
        else:
            driver, spec = networks.NetworkDriver(lab.lxd), bridge(lab)
        foreign = dataclasses.replace(spec, owner=STRANGER)
        for action in (driver.create, driver.read, driver.delete):
            with pytest.raises(errors.NotOursError, match="it belongs to grappe/contract"):
                action(foreign)
        assert driver.read(spec) is not None

    @pytest.mark.parametrize("kind", ["project", "network"])
    def test_only_the_daemon_reports_an_object_missing(self, lab: LxdTestbed, kind: str) -> None:
        """Deleted by hand it reads as missing, and create restores it; a hung daemon raises."""
        if kind == "project":
            make, spec, path = projects.ProjectDriver, project(lab), f"projects/{PROJECT}"
        else:
            make, spec, path = networks.NetworkDriver, bridge(lab), f"networks/{BRIDGE}"
        with lab.hung() as lxd:
            for action in (make(lxd).read, make(lxd).delete, make(lxd).create):
                with pytest.raises(errors.DaemonError, match="no answer within"):
                    action(spec)
        assert make(lab.lxd).read(spec) is not None
        lab.lxd.change("DELETE", path)
        assert make(lab.lxd).read(spec) is None
        make(lab.lxd).create(spec)
        assert spec == make(lab.lxd).read(spec).spec

    def test_bridge_changed_by_hand_is_drift(self, lab: LxdTestbed) -> None:
        """A changed address reads as such, another setting as drift; an update repairs both."""
        spec, driver = bridge(lab), networks.NetworkDriver(lab.lxd)
        found = lab.lxd.get(f"networks/{BRIDGE}")
        config = {**found["config"], "ipv4.address": "10.79.159.9/24", "ipv4.nat": "false"}
        lab.lxd.change("PUT", f"networks/{BRIDGE}", {"description": "", "config": config})
        reading = driver.read(spec)
        assert "10.79.159.9/24" == reading.spec.address
        assert "ipv4.nat is false, not true" == reading.drift
        driver.update(spec, spec)
        assert spec == driver.read(spec).spec
        assert "" == driver.read(spec).drift


class TestContainer:
    """Containers: creation, live changes, drift, repair and removal."""

    def test_container_is_created_read_updated_and_deleted(self, lab: LxdTestbed) -> None:
        """create, create again, live changes of limits, config and state, and delete twice."""
        driver, spec = container_driver(lab), server(lab, limits={"memory": "256MiB"})
        assert driver.read(spec) is None
        outputs = driver.create(spec)
        assert aliases.resolve(lab.lxd, lab.image) == outputs["fingerprint"]
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
        assert outputs == driver.create(spec)

        changed = server(
            lab, limits={"memory": "300MiB", "processes": "500"}, config={"user.note": "hello"}
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
        self, lab: LxdTestbed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a busy host an orderly shutdown may be refused, or take too long."""
        driver, spec = container_driver(lab), server(lab)
        driver.create(spec)
        change, orderly = lab.lxd.change, []

        def refuse(
            method: str, path: str, body: dict[str, object] | None = None, **more: object
        ) -> object:
            if body and body.get("action") == "stop" and not body["force"]:
                orderly.append(path)
                raise errors.DaemonError("LXD failed", seen="shutting down the container failed")
            return change(method, path, body, **more)

        monkeypatch.setattr(lab.lxd, "change", refuse)
        stopped = dataclasses.replace(spec, state="stopped")
        driver.update(spec, stopped)
        assert ["instances/yuno1/state"] == orderly
        assert stopped == driver.read(stopped).spec
        driver.delete(stopped)

    def test_protected_container_is_deleted_on_order(self, lab: LxdTestbed) -> None:
        """LXD itself refuses; a profile may have set the protection later."""
        driver, spec = container_driver(lab), server(lab, state="stopped")
        driver.create(spec)
        body = {"config": {"security.protection.delete": "true"}}
        lab.lxd.change("PATCH", "instances/yuno1", body, project=PROJECT)
        with pytest.raises(errors.DaemonError):
            lab.lxd.change("DELETE", "instances/yuno1", project=PROJECT)
        driver.delete(spec)
        assert driver.read(spec) is None

    def test_bridge_that_fails_late_keeps_containers_stopped(
        self, lab: LxdTestbed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The copy has no NIC and was never started; the next create repairs it."""
        driver, spec = container_driver(lab), server(lab)

        def fail(thing: str) -> None:
            raise errors.DaemonError(f"LXD failed: {thing}")

        with monkeypatch.context() as patched:
            patched.setattr(lab.lxd, "finish", fail)
            with pytest.raises(errors.DaemonError, match=f"LXD failed: networks/{BRIDGE}"):
                driver.create(spec)
        found = lab.lxd.get("instances/yuno1", project=PROJECT)
        assert ("Stopped", {"type": "none"}) == (found["status"], found["devices"]["eth0"])
        assert "it never became ready" in driver.read(spec).drift
        driver.create(spec)
        assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)

    def test_never_started_container_is_recreated(self, lab: LxdTestbed) -> None:
        """LXD may have copied half of it; a container that was started once is kept."""
        driver, spec = container_driver(lab), server(lab, state="stopped")
        made = []
        for start in (False, True):
            driver.create(spec)
            made.append(lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"])
            if start:
                driver.update(spec, server(lab))
            half = {"config": {names.STAGE: names.CREATING}}
            lab.lxd.change("PATCH", "instances/yuno1", half, project=PROJECT)
        driver.create(server(lab))
        made.append(lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"])
        assert made[0] != made[1] == made[2]

    def test_drift_is_read_and_repaired(self, lab: LxdTestbed) -> None:
        """Stopped and reconfigured by hand: read returns the actual spec, update restores it."""
        driver, spec = container_driver(lab), server(lab)
        driver.create(spec)
        path = "instances/yuno1"
        lab.lxd.change("PUT", f"{path}/state", {"action": "stop", "force": True}, project=PROJECT)
        body = {"config": {"limits.memory": "128MiB"}}
        lab.lxd.change("PATCH", path, body, project=PROJECT)
        reading = driver.read(spec)
        assert ("stopped", {"memory": "128MiB"}) == (reading.spec.state, reading.spec.limits)
        driver.update(reading.spec, spec)
        assert spec == driver.read(spec).spec

    def test_renamed_lab_keeps_its_container(self, lab: LxdTestbed) -> None:
        """A new id or owner does not recreate it; another lab's id is refused."""
        driver, spec = container_driver(lab), server(lab)
        driver.create(spec)
        before = lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        marked = dataclasses.replace(spec, lab="alicealice01", incarnation="1")
        driver.update(spec, marked)
        assert marked == driver.read(marked).spec
        renamed = dataclasses.replace(marked, owner="grappe/renamed")
        driver.update(marked, renamed)
        assert renamed == driver.read(renamed).spec
        assert before == lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        with pytest.raises(errors.NotOursError, match="grappe:id: alicealice01"):
            driver.read(dataclasses.replace(renamed, lab="another00001"))
        driver.delete(renamed)

    def test_new_address_is_an_update(self, lab: LxdTestbed) -> None:
        """The container keeps its content and answers at the new address."""
        driver, spec = container_driver(lab), server(lab)
        driver.create(spec)
        moved = dataclasses.replace(spec, address="10.79.159.20")
        driver.update(spec, moved)
        assert moved == driver.read(spec).spec

    def test_new_address_keeps_an_ephemeral_container(self, lab: LxdTestbed) -> None:
        """LXD deletes one that is stopped, so Grappe has LXD restart it."""
        driver, spec = container_driver(lab), server(lab, ephemeral=True)
        driver.create(spec)
        before = lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        moved = dataclasses.replace(spec, address="10.79.159.20")
        driver.update(spec, moved)
        assert moved == driver.read(moved).spec
        assert before == lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        body = {"action": "stop", "force": True}
        lab.lxd.change("PUT", "instances/yuno1/state", body, project=PROJECT)
        deadline = time.monotonic() + 20
        while driver.read(moved) is not None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert driver.read(moved) is None

    def test_container_that_lxd_still_creates_is_waited_for(
        self, lab: LxdTestbed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An earlier run gave up, or was killed; the copy that it began is kept."""
        driver, spec = container_driver(lab), server(lab)
        driver._make(spec)
        before = lab.lxd.get("instances/yuno1", project=PROJECT)["created_at"]
        real, urls = lab.lxd.get, [f"/1.0/instances/yuno1?project={PROJECT}"]
        running = [[{"resources": {"instances": urls}}], [{"resources": {"instances": urls}}], []]

        def get(path: str, **options: Any) -> Any:
            return {"running": running.pop(0)} if path == "operations" else real(path, **options)

        monkeypatch.setattr(lab.lxd, "get", get)
        monkeypatch.setattr(containers, "POLL_SECONDS", 0.01)
        driver.create(spec)
        assert [] == running
        assert spec == driver.read(spec).spec
        assert before == real("instances/yuno1", project=PROJECT)["created_at"]

    def test_create_that_failed_half_way_resumes(self, lab: LxdTestbed) -> None:
        """The failure says what was seen; the next create finishes the same container."""
        driver = container_driver(lab)
        with pytest.raises(errors.NotReadyError) as failure:
            driver.create(server(lab, port=9, port_seconds=1))
        assert "does not answer on 10.79.159.10:9" in str(failure.value)
        assert "its console:" in str(failure.value)
        assert "it never became ready" == driver.read(server(lab)).drift
        driver.create(server(lab))
        assert "" == driver.read(server(lab)).drift

    def test_ready_container_is_never_recreated(self, lab: LxdTestbed) -> None:
        """A container from another image is refused, with the command that deletes it."""
        driver, spec = container_driver(lab), server(lab)
        driver.create(spec)
        config = {"volatile.base_image": "0" * 64, "user.grappe.image": "another"}
        found = lab.lxd.get("instances/yuno1", project=PROJECT)
        body = {**found, "config": {**found["config"], **config}}
        lab.lxd.change("PUT", "instances/yuno1", body, project=PROJECT)
        with pytest.raises(errors.NotOursError, match="(lxc|incus) delete --force yuno1"):
            driver.create(spec)

    def test_container_deleted_by_hand_is_missing(self, lab: LxdTestbed) -> None:
        """The daemon answers that it does not exist."""
        driver, spec = container_driver(lab), server(lab, state="stopped")
        driver.create(spec)
        lab.lxd.change("DELETE", "instances/yuno1", project=PROJECT)
        assert driver.read(spec) is None

    def test_unknown_image_error_lists_known_images(self, lab: LxdTestbed) -> None:
        """The error lists the host's aliases, and nothing is left."""
        with pytest.raises(errors.BadInputError, match="aliases on the host: .*standin"):
            container_driver(lab).create(server(lab, image="nope"))
        assert container_driver(lab).read(server(lab)) is None

    def test_hung_daemon_does_not_read_as_missing(self, lab: LxdTestbed) -> None:
        """No answer raises; it does not read as absent, nor does delete succeed."""
        container_driver(lab).create(server(lab, state="stopped"))
        with lab.hung() as lxd:
            driver = containers.ContainerDriver(lxd, lab.dial, lab.url)
            with pytest.raises(errors.DaemonError, match="no answer within"):
                driver.read(server(lab))
            with pytest.raises(errors.DaemonError, match="does not answer"):
                driver.delete(server(lab))
        assert container_driver(lab).read(server(lab)) is not None

    def test_server_that_lost_its_marks_comes_back_as_the_error_says(self, lab: LxdTestbed) -> None:
        """As one restored from a backup that is older than its lab; its content stays."""
        driver, spec = container_driver(lab), server(lab, state="stopped")
        driver.create(spec)
        before = ownership.identity_of(lab.lxd.get("instances/yuno1", project=PROJECT))
        config = dict.fromkeys(["user.grappe.owner", "user.grappe.lab", "user.grappe.stage"], "")
        lab.lxd.change("PATCH", "instances/yuno1", {"config": config}, project=PROJECT)
        with pytest.raises(errors.NotOursError, match="was left alone") as found:
            driver.delete(spec)
        words = found.value.do.partition("config set yuno1 ")[2].partition(" --project")[0]
        marks = dict(word.split("=") for word in words.split())
        lab.lxd.change("PATCH", "instances/yuno1", {"config": marks}, project=PROJECT)
        driver.create(spec)
        assert "" == driver.read(spec).drift
        after = ownership.identity_of(lab.lxd.get("instances/yuno1", project=PROJECT))
        assert before == after

    def test_copy_in_another_project_is_left_alone(self, lab: LxdTestbed) -> None:
        """It has the lab's marks; emptying the bridge is refused with its name."""
        driver, spec = container_driver(lab), server(lab, state="stopped")
        driver.create(spec)
        source = {"type": "copy", "source": "yuno1", "project": PROJECT, "container_only": True}
        own = lab.lxd.get("instances/yuno1", project=PROJECT)
        body = {
            "name": "kept",
            "source": source,
            "config": own["config"],
            "devices": own["devices"],
            "profiles": own["profiles"],
        }
        lab.lxd.change("POST", "instances", body, project="default")
        try:
            driver.delete(spec)
            with pytest.raises(errors.NotOursError, match="used by kept of project default"):
                networks.NetworkDriver(lab.lxd).empty(bridge(lab))
            assert "kept" == lab.lxd.get("instances/kept", project="default")["name"]
        finally:
            lab.lxd.change("DELETE", "instances/kept", project="default")
        assert [] == networks.NetworkDriver(lab.lxd).empty(bridge(lab))


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
        self, testbed: LxdTestbed, tmp_path: pathlib.Path
    ) -> None:
        """Sent once, changed files move the alias and remove the old image, removed twice."""

        def spec(content: str) -> image_model.ImageSpec:
            files = self.files(tmp_path, content)
            digest = image_model.fingerprint(**files)
            return image_model.ImageSpec(
                host=testbed.url, owner=OWNER, name="contract", digest=digest, **files
            )

        driver, first = images.ImageDriver(testbed.lxd), spec("one")
        assert driver.read(first) is None
        driver.create(first)
        driver.create(first)
        assert first == driver.read(first).spec

        second = spec("two")
        driver.update(first, second)
        assert second.digest == aliases.target(testbed.lxd, "contract")
        assert aliases.image(testbed.lxd, first.digest) is None

        driver.delete(second)
        assert driver.read(second) is None
        driver.delete(second)

    def test_published_image_is_a_generalised_copy(self, lab: LxdTestbed) -> None:
        """The container keeps its keys and clones have none; delete removes the template too."""
        container_driver(lab).create(server(lab))
        files = "instances/yuno1/files"
        key = "/etc/ssh/ssh_host_ed25519_key"
        before = lab.lxd.read_file(files, project=PROJECT, file=key)
        driver = published.PublishedDriver(lab.lxd)
        spec = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1",
            properties={"recipe": "abc"}, running="restart",
        )  # fmt: skip
        outputs = driver.create(spec)
        assert outputs["fingerprint"] == aliases.target(lab.lxd, "contract")
        assert (spec, outputs) == (driver.read(spec).spec, driver.read(spec).outputs)
        assert before == lab.lxd.read_file(files, project=PROJECT, file=key)
        assert "Running" == lab.lxd.get("instances/yuno1", project=PROJECT)["status"]
        # As after a lost state: create reuses the image that exists.
        assert outputs == driver.create(spec)
        copy = lab.lxd.get("instances/yuno1-published", project=PROJECT)
        assert "Stopped" == copy["status"]
        assert {"eth0": {"type": "none"}} == copy["devices"]

        clone = server(lab, name="yuno2", image="contract", address="10.79.159.11")
        container_driver(lab).create(dataclasses.replace(clone, state="stopped"))
        with pytest.raises(daemon.AbsentError):
            lab.lxd.read_file("instances/yuno2/files", project=PROJECT, file=key)
        made_from = lab.lxd.get("instances/yuno2", project=PROJECT)["config"]
        assert outputs["fingerprint"] == made_from["volatile.base_image"]
        driver.delete(spec)
        assert driver.read(spec) is None
        with pytest.raises(daemon.AbsentError):
            lab.lxd.get("instances/yuno1-published", project=PROJECT)
        driver.delete(spec)

    def test_protected_template_is_replaced(self, lab: LxdTestbed) -> None:
        """A profile of the host may protect every instance from its deletion."""
        container_driver(lab).create(server(lab, state="stopped"))
        driver = published.PublishedDriver(lab.lxd)
        spec = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1"
        )
        driver.create(spec)
        body = {"config": {"security.protection.delete": "true"}}
        lab.lxd.change("PATCH", "instances/yuno1-published", body, project=PROJECT)
        again = dataclasses.replace(spec, properties={"recipe": "another"})
        driver.update(spec, again)
        assert again == driver.read(again).spec
        driver.delete(again)

    def test_image_with_an_alias_of_somebody_else_stays(self, lab: LxdTestbed) -> None:
        """LXD would delete the alias with it; one that a teacher made keeps a version for an exam."""
        container_driver(lab).create(server(lab, state="stopped"))
        driver = published.PublishedDriver(lab.lxd)
        first = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1",
            properties={"recipe": "one"},
        )  # fmt: skip
        second = dataclasses.replace(first, properties={"recipe": "two"})
        kept = driver.create(first)["fingerprint"]
        by_hand = {"name": "exam-2026", "target": kept, "description": ""}
        lab.lxd.change("POST", "images/aliases", by_hand)
        try:
            driver.update(first, second)
            driver.delete(second)
            assert kept == aliases.target(lab.lxd, "exam-2026")
            assert not [each for each in leftovers.find(lab.lxd, OWNER, "") if each.name == kept]
        finally:
            lab.lxd.change("DELETE", f"images/{kept}")

    def test_server_with_the_name_of_a_template_stays(self, lab: LxdTestbed) -> None:
        """A stopped server of the same lab holds a student's work, whatever its name."""
        driver, servers = published.PublishedDriver(lab.lxd), container_driver(lab)
        servers.create(server(lab, state="stopped"))
        namesake = server(lab, name="yuno1-published", state="stopped", address="10.79.159.11")
        servers.create(namesake)
        spec = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1"
        )
        with pytest.raises(errors.NotOursError, match="is a server, and was left alone"):
            driver.create(spec)
        driver.delete(spec)
        assert "" == servers.read(namesake).drift

    def test_image_without_its_template_still_works(self, lab: LxdTestbed) -> None:
        """Without the stopped copy, a server is created from the image itself."""
        container_driver(lab).create(server(lab, state="stopped"))
        spec = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name="contract", project=PROJECT, container="yuno1"
        )
        driver = published.PublishedDriver(lab.lxd)
        outputs = driver.create(spec)
        lab.lxd.change("DELETE", "instances/yuno1-published", project=PROJECT)
        clone = server(lab, name="yuno2", image="contract", state="stopped",
                       address="10.79.159.11")  # fmt: skip
        assert outputs["fingerprint"] == container_driver(lab).create(clone)["fingerprint"]
        assert "" == container_driver(lab).read(clone).drift
        driver.delete(spec)

    def test_alias_of_another_lab_is_left_alone(self, lab: LxdTestbed) -> None:
        """An alias that Grappe did not make is not moved."""
        spec = published_model.PublishedSpec(
            host=lab.url, owner=OWNER, name=lab.image, project=PROJECT, container="yuno1"
        )
        with pytest.raises(errors.NotOursError, match="not made by Grappe"):
            published.PublishedDriver(lab.lxd).create(spec)
