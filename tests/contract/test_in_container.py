"""The contract of exec steps, snapshots, devices, volumes and adoption, on fake and real LXD."""

from __future__ import annotations

import concurrent.futures
import dataclasses

import pytest

from core import errors, names
from hosts import command
from providers.lxd import daemon, ownership, script, script_run
from providers.lxd.container import driver as containers
from providers.lxd.container import model as container_model
from providers.lxd.exec import driver as execs
from providers.lxd.exec import model as exec_model
from providers.lxd.snapshot import driver as snapshots
from providers.lxd.snapshot import model as snapshot_model
from providers.lxd.volume import driver as volumes
from providers.lxd.volume import model as volume_model
from tests.contract.conftest import BRIDGE, OWNER, PROJECT, LxdTestbed

STRANGER = "grappe/stranger"
SECRET = "marked-secret-4711"


def server(testbed: LxdTestbed, **changes: object) -> container_model.ContainerSpec:
    spec = container_model.ContainerSpec(
        host=testbed.url, owner=OWNER, name="yuno1", project=PROJECT, image=testbed.image,
        network=BRIDGE, address="10.79.159.10",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def container_driver(testbed: LxdTestbed) -> containers.ContainerDriver:
    return containers.ContainerDriver(testbed.lxd, testbed.dial, testbed.url)


def step(testbed: LxdTestbed, **changes: object) -> exec_model.ExecSpec:
    spec = exec_model.ExecSpec(
        host=testbed.url, owner=OWNER, name="step", project=PROJECT, container="yuno1",
        container_id="", script="echo one; echo two >&2",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


class Steps:
    """The driver of exec steps, and the lines that they printed."""

    def __init__(self, testbed: LxdTestbed) -> None:
        self.output: list[str] = []
        self.driver = execs.ExecDriver(testbed.lxd, testbed.url, self.output.append)


@pytest.fixture(scope="class")
def steps(class_lab: LxdTestbed) -> Steps:
    """A running container, shared by the tests of a class."""
    container_driver(class_lab).create(server(class_lab))
    return Steps(class_lab)


@pytest.mark.usefixtures("steps")
class TestExec:
    """A step runs once, and again when its script has changed."""

    def test_output_is_printed_and_recorded(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """Both streams, line by line; the exit status with them."""
        steps.output.clear()
        outputs = steps.driver.create(step(class_lab))
        assert {"status": 0, "stdout": "one\n", "stderr": "two\n"} == outputs
        assert ["one", "two"] == sorted(steps.output)

    def test_changed_mark_does_not_run_it_again(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """Owner, lab id and incarnation are only marks."""
        old = step(class_lab)
        new = dataclasses.replace(old, owner="grappe/other", lab="alicealice01", incarnation="1")
        assert {} == steps.driver.update(old, new)

    def test_failure_shows_the_last_lines_of_output(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """And the command to enter the container."""
        failing = step(class_lab, script="echo the reason; exit 3")
        with pytest.raises(errors.CommandError) as failure:
            steps.driver.create(failing)
        for words in ("step exited with 3", "the reason", "exec yuno1 --project"):
            assert words in str(failure.value)

    def test_environment_and_directory_are_set(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """Quotes and line breaks in a value arrive unchanged."""
        spec = step(
            class_lab, script="pwd; printf '%s|' \"$A\"", directory="/tmp",
            environment={"A": "it's $A\nand"},
        )  # fmt: skip
        output = steps.driver.create(spec)["stdout"]
        assert output.split("\n")[0].endswith("/tmp")
        assert "it's $A\nand|" in output

    def test_standard_input_arrives_and_stays_secret(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """Printed lines, recorded output and a failure's tail mask it."""
        text = f"{SECRET}\nand 'quotes' $HOME `x`\n"
        what = script.Script(text='read first; cat; echo "it is $first"; exit 1', stdin=text)
        lines: list[str] = []
        outcome = script_run.run(class_lab.lxd, PROJECT, "yuno1", what, lines.append)
        assert (1, ["[secret]", "it is [secret]"]) == (outcome.status, lines)
        assert SECRET not in outcome.tail()
        assert "quotes" not in outcome.stdout
        count = script.Script(text="wc -c", stdin=text)
        assert str(len(text)) in script_run.run(class_lab.lxd, PROJECT, "yuno1", count).stdout

    def test_waiting_for_an_earlier_run_is_printed(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """A killed run may have left it; without a message the run would seem to hang."""
        long = script.Script(text="touch /tmp/begun; sleep 2")
        began = step(class_lab, creates="/tmp/begun")
        lines: list[str] = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(script_run.run, class_lab.lxd, PROJECT, "yuno1", long)
            command.wait_until(lambda: not steps.driver.read(began).drift, what="it", timeout=30)
            second = script.Script(text="echo mine")
            script_run.run(class_lab.lxd, PROJECT, "yuno1", second, lines.append)
        assert (0, [script.WAITING, "mine"]) == (first.result().status, lines)

    def test_creates_and_unless_skip_the_run(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """An existing `creates` file or a true `unless` skips it; a missing file is drift."""
        spec = step(class_lab, script="touch /tmp/made; echo ran", creates="/tmp/made")
        assert "/tmp/made is not there" == steps.driver.read(spec).drift
        assert "ran\n" == steps.driver.create(spec)["stdout"]
        assert "" == steps.driver.create(spec)["stdout"]
        assert "" == steps.driver.read(spec).drift
        guarded = step(class_lab, script="echo ran", unless="test -e /tmp/made")
        assert "" == steps.driver.create(guarded)["stdout"]
        assert (
            "ran\n" == steps.driver.create(dataclasses.replace(guarded, unless="false"))["stdout"]
        )

    def test_program_past_its_timeout_is_an_error(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """The step is killed, and the error names the timeout."""
        with pytest.raises(errors.CommandError, match="did not end within 1 s"):
            steps.driver.create(step(class_lab, script="echo begun; sleep 30", timeout=1))

    def test_killed_program_is_not_reported_as_timed_out(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """Stopping the server kills it too, with the same exit status as a timeout."""
        with pytest.raises(errors.CommandError, match="exited with 137"):
            steps.driver.create(step(class_lab, script="kill -KILL $$"))

    def test_changed_description_does_not_run_it_again(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """Another script does, and so does drift."""
        spec = step(class_lab)
        assert {} == steps.driver.update(spec, dataclasses.replace(spec, timeout=7))
        again = steps.driver.update(spec, dataclasses.replace(spec, script="echo one"))
        assert "one\n" == again["stdout"]
        assert "one\n" == steps.driver.update(spec, spec)["stdout"]

    def test_delete_runs_the_removal_script(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """The step's own `delete` script."""
        spec = step(class_lab, script="touch /tmp/undone", delete="rm /tmp/undone",
                    creates="/tmp/undone")  # fmt: skip
        steps.driver.create(spec)
        steps.driver.delete(spec)
        assert "/tmp/undone is not there" == steps.driver.read(spec).drift

    def test_changed_script_first_undoes_the_old_one(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """For example, it removes the keys of a removed user."""
        old = step(class_lab, script="touch /tmp/first", delete="rm /tmp/first")
        steps.driver.create(old)
        new = dataclasses.replace(old, script="ls /tmp/first || touch /tmp/second", delete="true")
        steps.driver.update(old, new)
        assert steps.driver.read(dataclasses.replace(old, creates="/tmp/first")).drift
        assert not steps.driver.read(dataclasses.replace(new, creates="/tmp/second")).drift

    def test_new_container_means_a_new_run(self, class_lab: LxdTestbed, steps: Steps) -> None:
        """A step of an earlier container reads as missing."""
        found = class_lab.lxd.get("instances/yuno1", project=PROJECT)
        ours = step(class_lab, container_id=ownership.identity_of(found))
        assert steps.driver.read(ours) is not None
        assert steps.driver.read(dataclasses.replace(ours, container_id="before")) is None

    def test_failure_with_start_over_marks_the_container(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """The next read of the container finds the mark, and plans a new one."""
        with pytest.raises(errors.CommandError, match="starts over with a new container"):
            steps.driver.create(step(class_lab, script="exit 1", starts_over=True))
        reading = container_driver(class_lab).read(server(class_lab))
        assert reading is not None
        assert "it is marked so" == reading.remake
        marks = {"config": {names.STAGE: names.READY}}
        class_lab.lxd.change("PATCH", "instances/yuno1", marks, project=PROJECT)

    def test_container_of_another_lab_is_left_alone(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """Nothing is run in it."""
        with pytest.raises(errors.NotOursError, match="belongs to grappe/contract"):
            steps.driver.create(step(class_lab, owner=STRANGER))

    def test_snapshot_is_created_and_deleted_a_manual_one_stays(
        self, class_lab: LxdTestbed, steps: Steps
    ) -> None:
        """create, read, create again, delete twice; a manual one is neither adopted nor deleted."""
        driver = snapshots.SnapshotDriver(class_lab.lxd)
        found = class_lab.lxd.get("instances/yuno1", project=PROJECT)
        spec = snapshot_model.SnapshotSpec(
            host=class_lab.url, owner=OWNER, name="clean", project=PROJECT, container="yuno1",
            container_id=ownership.identity_of(found),
        )  # fmt: skip
        assert driver.read(spec) is None
        outputs = driver.create(spec)
        assert (spec, outputs) == (driver.read(spec).spec, driver.read(spec).outputs)
        assert outputs == driver.create(spec)
        assert "" == container_driver(class_lab).read(server(class_lab)).drift
        # As after a restore of the whole container from a copy.
        restored = dataclasses.replace(spec, container_id="another")
        assert (restored, outputs) == (driver.read(restored).spec, driver.read(restored).outputs)
        assert outputs == driver.update(restored, spec)
        # As after `lxc restore` of a snapshot from before this one.
        mark = {"config": {"user.grappe.snapshot.clean": ""}}
        class_lab.lxd.change("PATCH", "instances/yuno1", mark, project=PROJECT)
        assert outputs == driver.update(spec, spec)
        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

        body, path = {"name": "clean"}, "instances/yuno1/snapshots"
        class_lab.lxd.change("POST", path, body, project=PROJECT)
        with pytest.raises(errors.NotOursError, match="exists already and was left alone"):
            driver.create(spec)
        driver.delete(spec)
        assert driver.read(spec) is not None
        class_lab.lxd.change("DELETE", f"{path}/clean", project=PROJECT)


class TestDevicesAndVolumes:
    """Devices, volumes and ephemeral containers."""

    def test_volume_is_created_attached_resized_and_deleted(self, lab: LxdTestbed) -> None:
        """Made, attached, grown, detached, removed twice."""
        driver = volumes.VolumeDriver(lab.lxd)
        spec = volume_model.VolumeSpec(
            host=lab.url, owner=OWNER, name="data", project=PROJECT, config={"size": "64MiB"}
        )
        assert driver.read(spec) is None
        driver.create(spec)
        driver.create(spec)
        assert spec == driver.read(spec).spec
        grown = dataclasses.replace(spec, config={"size": "128MiB"})
        driver.update(spec, grown)
        assert grown == driver.read(grown).spec
        with pytest.raises(errors.NotOursError, match="belongs to grappe/contract"):
            driver.delete(dataclasses.replace(spec, owner=STRANGER))

        disk = {"type": "disk", "pool": "default", "source": "data", "path": "/srv/data"}
        proxy = {"type": "proxy", "listen": "tcp:127.0.0.1:8099", "connect": "tcp:127.0.0.1:80"}
        with_both = server(lab, devices={"data": disk, "web": proxy})
        container_driver(lab).create(with_both)
        assert (with_both, "") == (
            container_driver(lab).read(with_both).spec, container_driver(lab).read(with_both).drift,
        )  # fmt: skip
        without = server(lab)
        container_driver(lab).update(with_both, without)
        assert without == container_driver(lab).read(without).spec
        container_driver(lab).delete(without)
        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

    def test_ephemeral_container_is_created_as_such(self, lab: LxdTestbed) -> None:
        """It reads back as ephemeral."""
        spec = server(lab, ephemeral=True)
        container_driver(lab).create(spec)
        assert spec == container_driver(lab).read(spec).spec
        container_driver(lab).delete(spec)


class TestAdoption:
    """`adopt` takes over an existing container, unless another stack owns it."""

    def test_running_ephemeral_container_is_not_moved(self, lab: LxdTestbed) -> None:
        """It would be deleted when it stops for the move; the refusal has another way."""
        fingerprint = lab.lxd.get(f"images/aliases/{lab.image}")["target"]
        body = {
            "name": "yuno1", "type": "container", "profiles": ["default"], "config": {},
            "devices": {"eth0": {"type": "none"}}, "ephemeral": True,
            "source": {"type": "image", "fingerprint": fingerprint},
        }  # fmt: skip
        lab.lxd.change("POST", "instances", body, project="default")
        lab.lxd.change("PUT", "instances/yuno1/state", {"action": "start"}, project="default")
        with pytest.raises(errors.NotOursError, match="it is ephemeral"):
            container_driver(lab).create(server(lab, adopt=True))
        assert "Running" == lab.lxd.get("instances/yuno1", project="default")["status"]
        body = {"action": "stop", "force": True}
        lab.lxd.change("PUT", "instances/yuno1/state", body, project="default")

    def test_container_of_the_default_project_is_adopted(self, lab: LxdTestbed) -> None:
        """It moves into the student's project with its content, and is as the spec says."""
        fingerprint = lab.lxd.get(f"images/aliases/{lab.image}")["target"]
        body = {
            "name": "yuno1", "type": "container", "profiles": ["default"], "config": {},
            "devices": {}, "source": {"type": "image", "fingerprint": fingerprint},
        }  # fmt: skip
        lab.lxd.change("POST", "instances", body, project="default")
        lab.lxd.write_file(
            "instances/yuno1/files", b"by hand", project="default", file="/root/note",
            headers={"X-LXD-type": "file"},
        )  # fmt: skip
        spec = server(lab, adopt=True)
        container_driver(lab).create(spec)
        assert spec == container_driver(lab).read(spec).spec
        note = lab.lxd.read_file("instances/yuno1/files", project=PROJECT, file="/root/note")
        assert b"by hand" == note
        with pytest.raises(daemon.AbsentError):
            lab.lxd.get("instances/yuno1", project="default")

    def test_container_of_another_stack_is_not_adopted(self, lab: LxdTestbed) -> None:
        """It is left alone, and its owner named."""
        container_driver(lab).create(server(lab, state="stopped"))
        with pytest.raises(errors.NotOursError, match="cannot be adopted") as refusal:
            container_driver(lab).create(server(lab, owner=STRANGER, adopt=True))
        assert "it belongs to grappe/contract" in str(refusal.value)
