"""Power cuts between any two steps of a fragment's change, as a hypothesis state machine."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from remote import fragment_store as stores
from remote import transaction
from remote.surveys import leftovers
from tests.contract.fragment_hosts import KINDS, OWNER, FakeFragmentHost

NAMES = ("yuno1", "yuno2", "yuno3", "yuno4")
VARIANTS = (10, 20, 30)
# Audit events of changes; Python raises each before the change.
STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "grappe.program"}
MOST_STEPS = 80


class PowerCut(BaseException):
    """Ends the process: no `except Exception` catches it, and every later step raises it again."""


class Power:
    """The power supply of the fake host.

    Attributes:
        left: Steps until the cut; None is never.
        cuts: The number of cuts.
    """

    def __init__(self) -> None:
        self.left: int | None = None
        self.cuts = 0
        self.root = ""

    def step(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count a step of the host; raise PowerCut once none is left."""
        if self.left is None or event not in STEPS:
            return
        if event != "grappe.program" and not str(arguments[0]).startswith(self.root):
            return
        if self.left <= 0:
            raise PowerCut
        self.left -= 1


POWER = Power()
# A hook cannot be removed; without a count it does nothing.
sys.addaudithook(POWER.step)


class FragmentMachine(RuleBasedStateMachine):
    """Creates, updates, deletes and power cuts of fragments on one host.

    Attributes:
        held: The possible variants of each fragment: one after a finished change, more after a
            cut; None is absent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="grappe-crash-"))
        self.held: dict[str, set[int | None]] = {}
        self.patch = pytest.MonkeyPatch()

    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def boot(self, kind: str) -> None:
        """A host with the files that its packages brought."""
        POWER.root, POWER.left = str(self.folder), None
        self.kind = KINDS[kind]
        self.host = FakeFragmentHost(self.folder / "host")
        for program in ("run", "send"):
            self._count(program)
        # Processes from before the last cut count as dead.
        self.patch.setattr(stores, "_start_time", lambda pid: f"{POWER.cuts}" if pid else "")
        self.patch.setattr("remote.transaction.GATHER_SECONDS", 0)
        self.original = self.host.read(self.kind.file)
        self.before = self._everything()

    def _count(self, program: str) -> None:
        real = getattr(self.host.system, program)

        def counted(*arguments: Any, **more: Any) -> Any:
            sys.audit("grappe.program", program)
            return real(*arguments, **more)

        self.patch.setattr(self.host.system, program, counted)

    @rule(name=st.sampled_from(NAMES), variant=st.sampled_from(VARIANTS))
    def put(self, name: str, variant: int) -> None:
        """Create or update a fragment, without a cut."""
        self._put(name, variant)
        self.held[name] = {variant}
        self._agree()

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        """Delete a fragment, present or absent."""
        self._remove(name)
        self.held[name] = {None}
        self._agree()

    @rule(
        name=st.sampled_from(NAMES), variant=st.sampled_from((None, *VARIANTS)),
        steps=st.integers(0, MOST_STEPS),
    )  # fmt: skip
    def cut(self, name: str, variant: int | None, steps: int) -> None:
        """Cut the power after some steps of a change, unless it ends before."""
        POWER.left = steps
        try:
            self._remove(name) if variant is None else self._put(name, variant)
        except PowerCut:
            self.held[name] = self.held.get(name, {None}) | {variant}
        else:
            self.held[name] = {variant}
        finally:
            POWER.left = None
            POWER.cuts += 1

    @invariant()
    def foreign_lines_stay(self) -> None:
        """The file has all its original lines, in their order."""
        if hasattr(self, "host"):
            lines = iter(self.host.read(self.kind.file).splitlines())
            assert all(line in lines for line in self.original.splitlines())

    def teardown(self) -> None:
        """Delete all fragments; the host must be as before the first."""
        try:
            if hasattr(self, "host"):
                for name in self.held:
                    self._put(name, VARIANTS[0])
                    self.held[name] = {VARIANTS[0]}
                if self.held:
                    self._agree()
                for name in self.held:
                    self._remove(name)
                assert self.before == self._everything()
        finally:
            POWER.left = None
            self.patch.undo()
            shutil.rmtree(self.folder)

    def _agree(self) -> None:
        """Assert that every fragment is one of its possible variants, without drift."""
        driver = self.host.driver(self.kind)
        for name, states in self.held.items():
            reading = driver.read(self._spec(name, VARIANTS[0]))
            found = next((each for each in VARIANTS if reading and reading.spec ==
                          self._spec(name, each)), None)  # fmt: skip
            assert found in states
            assert (reading is None) == (found is None)
            assert reading is None or not reading.drift
            self.held[name] = {found}

    def _put(self, name: str, variant: int) -> None:
        states = self.held.get(name, {None})
        driver, spec = self.host.driver(self.kind), self._spec(name, variant)
        if len(states) == 1 and None not in states:
            (old,) = states
            driver.update(self._spec(name, old or 0), spec)
        else:
            driver.create(spec)

    def _remove(self, name: str) -> None:
        self.host.driver(self.kind).delete(self._spec(name, VARIANTS[0]))

    def _spec(self, name: str, variant: int) -> Any:
        number = int(name[-1]) if name in NAMES else 0
        changes: dict[str, Any] = {}
        if "port" in self.kind.sample:
            changes = {"port": 62220 + number, "target_address": f"10.79.159.{variant + number}",
                       "comment": f"{name}_ssh"}  # fmt: skip
        else:
            changes = {
                "domains": (f"{name}.contract.test",),
                "address": f"10.79.159.{variant + number}",
            }
        return self.kind.make(self.host.url, name, **changes)

    def _listed(self) -> list[str]:
        """Return the ids of the fragments that `down` would remove."""
        request = {"store": "/var/lib/grappe", "owner": OWNER, "lab": "",
                   "root": str(self.folder / "host")}  # fmt: skip
        return [each["id"] for each in leftovers.main(request)["fragments"]]

    def _shared(self) -> tuple[str, ...]:
        paths = dict.fromkeys((self.kind.file, self.kind.lines or self.kind.file))
        return (*map(self.host.read, paths), self.host.live())

    def _everything(self) -> tuple[dict[str, str], str]:
        root = self.folder / "host"
        files = {
            str(path.relative_to(root)): f"{path.stat().st_mode:o} {path.read_text()}"
            for path in sorted(root.rglob("*")) if path.is_file()
        }  # fmt: skip
        return files, self.host.live()


def test_last_delete_removes_staged_files_of_a_power_cut(tmp_path: pathlib.Path) -> None:
    """A staged file would otherwise keep the store's folder for good."""
    host, kind = FakeFragmentHost(tmp_path / "host"), KINDS["haproxy"]
    driver, spec = host.driver(kind), kind.make(host.url)
    driver.create(spec)
    host.write("/var/lib/grappe/haproxy/.loaded.grappe-99", "half")
    driver.delete(spec)
    assert not host.exists("/var/lib/grappe")


def test_batch_of_an_update_and_a_removal_is_what_the_next_reader_finds(
    tmp_path: pathlib.Path,
) -> None:
    """The store is saved twice then: before the files have the lines, and once they lack others."""
    host, kind = FakeFragmentHost(tmp_path / "host"), KINDS["haproxy"]
    for name in NAMES[:3]:
        host.driver(kind).create(kind.make(host.url, name, domains=(f"{name}.contract.test",)))
    target = kind.target(host.system, kind.shared_sections())
    store = stores.Store(host.system, "/var/lib/grappe/haproxy")
    old = store.load()
    first, second, third = (f"{OWNER}/{name}" for name in NAMES[:3])
    fragment = {**old[first], "spec": {**old[first]["spec"], "address": "10.79.159.99"}}
    marks = {"owner": OWNER, "lab": ""}
    batch = [
        {"op": "put", "fragment": fragment, "ticket": "1"},
        {"op": "remove", "id": second, **marks, "ticket": "2"},
    ]
    done = transaction._commit(target, store, batch, old)
    assert [True, True] == [each["ok"] for each in done.values()]
    found = stores.Store(host.system, "/var/lib/grappe/haproxy").load()
    assert [first, third] == list(found)
    assert "10.79.159.99" == found[first]["spec"]["address"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_power_cut_during_the_last_delete_leaves_nothing(kind: str) -> None:
    """A cut at each step; after another create and delete the host is as before, with its modes."""
    for steps in range(MOST_STEPS):
        machine = FragmentMachine()
        try:
            machine.boot(kind=kind)
            machine.put(name="yuno1", variant=VARIANTS[0])
            machine.cut(name="yuno1", variant=None, steps=steps)
        finally:
            machine.teardown()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_power_cut_during_the_first_create_leaves_nothing_that_is_not_found(kind: str) -> None:
    """A cut at each step; removing what the survey of leftovers lists leaves the host as before."""
    lists = set()
    for steps in range(MOST_STEPS):
        machine = FragmentMachine()
        try:
            machine.boot(kind=kind)
            machine.cut(name="yuno1", variant=VARIANTS[0], steps=steps)
            found = machine._listed()
            lists.add(tuple(found))
            for identifier in found:
                machine._remove(identifier.rpartition("/")[2])
            assert machine.before == machine._everything(), f"cut after {steps} steps"
            assert [] == machine._listed()
        finally:
            machine.held = {}
            machine.teardown()
    assert {(), (leftovers.EMPTY,), (f"{OWNER}/yuno1",)} >= lists > {()}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_lines_of_a_power_cut_beside_another_fragment_have_theirs(kind: str) -> None:
    """A cut at each step; without the cut's own fragment the shared files are as before."""
    for steps in range(MOST_STEPS):
        machine = FragmentMachine()
        try:
            machine.boot(kind=kind)
            machine.put(name="yuno2", variant=VARIANTS[0])
            before = machine._shared()
            machine.cut(name="yuno1", variant=VARIANTS[0], steps=steps)
            found = machine._listed()
            if f"{OWNER}/yuno1" in found:
                machine._remove("yuno1")
            assert before == machine._shared(), f"cut after {steps} steps"
        finally:
            machine.teardown()


def test_power_cut_at_any_step_loses_nothing() -> None:
    """Foreign lines stay, reported changes hold, and the last delete leaves nothing."""
    # `./lab campaign` tries many more, and others each time.
    examples = int(os.environ.get("GRAPPE_EXAMPLES", "0"))
    settings = hypothesis.settings(
        max_examples=examples or 60, derandomize=not examples, stateful_step_count=12,
        deadline=None, database=None, phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.stateful.run_state_machine_as_test(FragmentMachine, settings=settings)
