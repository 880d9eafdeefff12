"""What is done in a container, on it and for it: programs, snapshots, volumes, adoption."""

from __future__ import annotations

import concurrent.futures
import dataclasses

import pytest

from core import errors, names
from hosts import command
from providers.lxd import daemon, job, ownership, shell
from providers.lxd.container import driver as containers
from providers.lxd.container import model as container_model
from providers.lxd.exec import driver as execs
from providers.lxd.exec import model as exec_model
from providers.lxd.snapshot import driver as snapshots
from providers.lxd.snapshot import model as snapshot_model
from providers.lxd.volume import driver as volumes
from providers.lxd.volume import model as volume_model
from tests.contract.conftest import BRIDGE, OWNER, PROJECT, LxdWorld

STRANGER = "grappe/stranger"
SECRET = "marked-secret-4711"


def server(world: LxdWorld, **changes: object) -> container_model.ContainerSpec:
    spec = container_model.ContainerSpec(
        host=world.url, owner=OWNER, name="yuno1", project=PROJECT, image=world.image,
        network=BRIDGE, address="10.79.159.10",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


def container_driver(world: LxdWorld) -> containers.ContainerDriver:
    return containers.ContainerDriver(world.lxd, world.dial, world.url)


def step(world: LxdWorld, **changes: object) -> exec_model.ExecSpec:
    spec = exec_model.ExecSpec(
        host=world.url, owner=OWNER, name="step", project=PROJECT, container="yuno1",
        container_id="", script="echo one; echo two >&2",
    )  # fmt: skip
    return dataclasses.replace(spec, **changes)


class Steps:
    """A driver of programs, and what they said meanwhile."""

    def __init__(self, world: LxdWorld) -> None:
        self.said: list[str] = []
        self.driver = execs.ExecDriver(world.lxd, world.url, self.said.append)


@pytest.fixture(scope="class")
def steps(class_room: LxdWorld) -> Steps:
    """A running container, shared by the tests of a class."""
    container_driver(class_room).create(server(class_room))
    return Steps(class_room)


@pytest.mark.usefixtures("steps")
class TestExec:
    """A program is run once, and again when what it is has changed."""

    def test_output_is_printed_and_recorded(self, class_room: LxdWorld, steps: Steps) -> None:
        """Both streams, line by line; the exit status with them."""
        steps.said.clear()
        outputs = steps.driver.create(step(class_room))
        assert {"status": 0, "stdout": "one\n", "stderr": "two\n"} == outputs
        assert ["one", "two"] == sorted(steps.said)

    def test_changed_mark_does_not_run_it_again(self, class_room: LxdWorld, steps: Steps) -> None:
        """The lab's id and name are what is said of it."""
        old = step(class_room)
        new = dataclasses.replace(old, owner="grappe/other", lab="alicealice01", incarnation="1")
        assert {} == steps.driver.update(old, new)

    def test_failure_shows_the_last_lines_of_output(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """With the way in."""
        failing = step(class_room, script="echo the reason; exit 3")
        with pytest.raises(errors.CommandError) as failure:
            steps.driver.create(failing)
        for words in ("step exited with 3", "the reason", "exec yuno1 --project"):
            assert words in str(failure.value)

    def test_environment_and_directory_are_set(self, class_room: LxdWorld, steps: Steps) -> None:
        """As they were, quotes and line breaks included."""
        spec = step(
            class_room, script="pwd; printf '%s|' \"$A\"", directory="/tmp",
            environment={"A": "it's $A\nand"},
        )  # fmt: skip
        said = steps.driver.create(spec)["stdout"]
        assert said.split("\n")[0].endswith("/tmp")
        assert "it's $A\nand|" in said

    def test_standard_input_arrives_and_stays_secret(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Nor does what is printed line by line; a failure is shown without it too."""
        text = f"{SECRET}\nand 'quotes' $HOME `x`\n"
        what = job.Job(script='read first; cat; echo "it is $first"; exit 1', stdin=text)
        lines: list[str] = []
        outcome = shell.run(class_room.lxd, PROJECT, "yuno1", what, lines.append)
        assert (1, ["[secret]", "it is [secret]"]) == (outcome.status, lines)
        assert SECRET not in outcome.tail()
        assert "quotes" not in outcome.stdout
        count = job.Job(script="wc -c", stdin=text)
        assert str(len(text)) in shell.run(class_room.lxd, PROJECT, "yuno1", count).stdout

    def test_waiting_for_an_earlier_run_is_printed(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Such as one that a dead run left; silence would look like a fault."""
        long = job.Job(script="touch /tmp/begun; sleep 2")
        began = step(class_room, creates="/tmp/begun")
        lines: list[str] = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(shell.run, class_room.lxd, PROJECT, "yuno1", long)
            command.wait_until(lambda: not steps.driver.read(began).drift, what="it", timeout=30)
            second = job.Job(script="echo mine")
            shell.run(class_room.lxd, PROJECT, "yuno1", second, lines.append)
        assert (0, [job.WAITING, "mine"]) == (first.result().status, lines)

    def test_creates_and_unless_skip_the_run(self, class_room: LxdWorld, steps: Steps) -> None:
        """Done already is not done again; what it made and is gone is seen as drift."""
        spec = step(class_room, script="touch /tmp/made; echo ran", creates="/tmp/made")
        assert "/tmp/made is not there" == steps.driver.read(spec).drift
        assert "ran\n" == steps.driver.create(spec)["stdout"]
        assert "" == steps.driver.create(spec)["stdout"]
        assert "" == steps.driver.read(spec).drift
        guarded = step(class_room, script="echo ran", unless="test -e /tmp/made")
        assert "" == steps.driver.create(guarded)["stdout"]
        assert (
            "ran\n" == steps.driver.create(dataclasses.replace(guarded, unless="false"))["stdout"]
        )

    def test_program_past_its_timeout_is_an_error(self, class_room: LxdWorld, steps: Steps) -> None:
        """It is ended, and the failure says so."""
        with pytest.raises(errors.CommandError, match="did not end within 1 s"):
            steps.driver.create(step(class_room, script="echo begun; sleep 30", timeout=1))

    def test_killed_program_is_not_reported_as_timed_out(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """As whoever stops the server does; the exit status is that of a deadline's kill."""
        with pytest.raises(errors.CommandError, match="exited with 137"):
            steps.driver.create(step(class_room, script="kill -KILL $$"))

    def test_changed_description_does_not_run_it_again(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Another script does, and so does drift."""
        spec = step(class_room)
        assert {} == steps.driver.update(spec, dataclasses.replace(spec, timeout=7))
        again = steps.driver.update(spec, dataclasses.replace(spec, script="echo one"))
        assert "one\n" == again["stdout"]
        assert "one\n" == steps.driver.update(spec, spec)["stdout"]

    def test_delete_runs_the_removal_script(self, class_room: LxdWorld, steps: Steps) -> None:
        """By the script that says how."""
        spec = step(class_room, script="touch /tmp/undone", delete="rm /tmp/undone",
                    creates="/tmp/undone")  # fmt: skip
        steps.driver.create(spec)
        steps.driver.delete(spec)
        assert "/tmp/undone is not there" == steps.driver.read(spec).drift

    def test_changed_script_first_undoes_the_old_one(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Such as the keys of a user who no longer has them."""
        old = step(class_room, script="touch /tmp/first", delete="rm /tmp/first")
        steps.driver.create(old)
        new = dataclasses.replace(old, script="ls /tmp/first || touch /tmp/second", delete="true")
        steps.driver.update(old, new)
        assert steps.driver.read(dataclasses.replace(old, creates="/tmp/first")).drift
        assert not steps.driver.read(dataclasses.replace(new, creates="/tmp/second")).drift

    def test_new_container_means_a_new_run(self, class_room: LxdWorld, steps: Steps) -> None:
        """What was done in a container that is gone is not done."""
        found = class_room.lxd.get("instances/yuno1", project=PROJECT)
        ours = step(class_room, container_id=ownership.identity_of(found))
        assert steps.driver.read(ours) is not None
        assert steps.driver.read(dataclasses.replace(ours, container_id="before")) is None

    def test_failure_with_start_over_marks_the_container(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """The next look at it sees another generation than the one that is wanted."""
        with pytest.raises(errors.CommandError, match="starts over with a new container"):
            steps.driver.create(step(class_room, script="exit 1", starts_over=True))
        reading = container_driver(class_room).read(server(class_room))
        assert reading is not None
        assert "it is marked so" == reading.remake
        marks = {"config": {names.STAGE: names.READY}}
        class_room.lxd.change("PATCH", "instances/yuno1", marks, project=PROJECT)

    def test_container_of_another_lab_is_left_alone(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Nothing is run in it."""
        with pytest.raises(errors.NotOursError, match="belongs to grappe/contract"):
            steps.driver.create(step(class_room, owner=STRANGER))

    def test_snapshot_lives_and_a_manual_one_is_left_alone(
        self, class_room: LxdWorld, steps: Steps
    ) -> None:
        """Taken, seen, taken up again, removed twice; one that is there by hand is left alone."""
        driver = snapshots.SnapshotDriver(class_room.lxd)
        found = class_room.lxd.get("instances/yuno1", project=PROJECT)
        spec = snapshot_model.SnapshotSpec(
            host=class_room.url, owner=OWNER, name="clean", project=PROJECT, container="yuno1",
            container_id=ownership.identity_of(found),
        )  # fmt: skip
        assert driver.read(spec) is None
        outputs = driver.create(spec)
        assert (spec, outputs) == (driver.read(spec).spec, driver.read(spec).outputs)
        assert outputs == driver.create(spec)
        assert "" == container_driver(class_room).read(server(class_room)).drift
        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

        body, path = {"name": "clean"}, "instances/yuno1/snapshots"
        class_room.lxd.change("POST", path, body, project=PROJECT)
        with pytest.raises(errors.NotOursError, match="exists already and was left alone"):
            driver.create(spec)
        driver.delete(spec)
        assert driver.read(spec) is not None
        class_room.lxd.change("DELETE", f"{path}/clean", project=PROJECT)


class TestDevicesAndVolumes:
    """A server has what few have."""

    def test_volume_and_its_device_live_and_go(self, room: LxdWorld) -> None:
        """Made, attached, grown, detached, removed twice."""
        driver = volumes.VolumeDriver(room.lxd)
        spec = volume_model.VolumeSpec(
            host=room.url, owner=OWNER, name="data", project=PROJECT, config={"size": "64MiB"}
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
        with_both = server(room, devices={"data": disk, "web": proxy})
        container_driver(room).create(with_both)
        assert (with_both, "") == (
            container_driver(room).read(with_both).spec, container_driver(room).read(with_both).drift,
        )  # fmt: skip
        without = server(room)
        container_driver(room).update(with_both, without)
        assert without == container_driver(room).read(without).spec
        container_driver(room).delete(without)
        driver.delete(spec)
        assert driver.read(spec) is None
        driver.delete(spec)

    def test_ephemeral_container_is_created_as_such(self, room: LxdWorld) -> None:
        """It is what it says."""
        spec = server(room, ephemeral=True)
        container_driver(room).create(spec)
        assert spec == container_driver(room).read(spec).spec
        container_driver(room).delete(spec)


class TestAdoption:
    """What exists already is taken over when told to, and only what is nobody's."""

    def test_container_of_the_default_project_is_adopted(self, room: LxdWorld) -> None:
        """It moves into the student's project with its content, and is as the spec says."""
        fingerprint = room.lxd.get(f"images/aliases/{room.image}")["target"]
        body = {
            "name": "yuno1", "type": "container", "profiles": ["default"], "config": {},
            "devices": {}, "source": {"type": "image", "fingerprint": fingerprint},
        }  # fmt: skip
        room.lxd.change("POST", "instances", body, project="default")
        room.lxd.write_file(
            "instances/yuno1/files", b"by hand", project="default", file="/root/note",
            headers={"X-LXD-type": "file"},
        )  # fmt: skip
        spec = server(room, adopt=True)
        container_driver(room).create(spec)
        assert spec == container_driver(room).read(spec).spec
        note = room.lxd.read_file("instances/yuno1/files", project=PROJECT, file="/root/note")
        assert b"by hand" == note
        with pytest.raises(daemon.AbsentError):
            room.lxd.get("instances/yuno1", project="default")

    def test_container_of_another_stack_is_not_adopted(self, room: LxdWorld) -> None:
        """It is left alone, and its owner named."""
        container_driver(room).create(server(room, state="stopped"))
        with pytest.raises(errors.NotOursError, match="cannot be adopted") as refusal:
            container_driver(room).create(server(room, owner=STRANGER, adopt=True))
        assert "it belongs to grappe/contract" in str(refusal.value)
