"""`unchanged.compare` finds without the engine whether an `up` has nothing to do."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components import program
from core import errors, problems, run
from engine import unchanged
from engine.state import State
from hosts import connections
from providers.lxd.container.resource import Container
from providers.lxd.postinstall import services
from stacks import files
from tests.engine.conftest import LAB, PASSPHRASE, Engine

NAME, ID = "uma", "umaumaumauma"
# Its resources, with the stack and the components.
COUNT = 13


def compared(engine: Engine, this: run.Run | None = None) -> unchanged.Comparison:
    """Return the result of `unchanged.compare` for the stack."""
    given = files.configuration(engine.project / "stacks", NAME)
    before = pathlib.Path.cwd()
    os.chdir(engine.project)
    try:
        state = State(engine.project / ".state", "grappe", NAME)
        this = this or run.Run(command="up", rebuild="")
        return unchanged.compare(program.run, state, given, this)
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def up(engine: Engine) -> Iterator[Engine]:
    """A lab with a password and a second name, which is up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
        engine.write(NAME, number=41, id=ID, servers=[{"name": "yuno1"}])
        engine.pulumi("config", "set", "--secret", "grappe:password", "not-in-plain", "-s", NAME)
        engine.up(NAME)
        yield engine
        engine.destroy(NAME)


@pytest.fixture
def back(up: Engine) -> Iterator[Callable[[], None]]:
    """A function that restores the stack file and brings the lab up; called at the end too."""
    file = up.project / "stacks" / f"Pulumi.{NAME}.yaml"
    before = file.read_text()

    def restore() -> None:
        file.write_text(before)
        up.up(NAME)

    yield restore
    restore()


def test_stack_that_is_up_has_nothing_to_do(up: Engine) -> None:
    """The engine finds no change either."""
    assert compared(up) == unchanged.Comparison(resources=COUNT)
    up.assert_unchanged(NAME)


def change(engine: Engine, **item: Any) -> None:
    """Change the container's entry in the state."""
    state = engine.state(NAME)
    for each in state["deployment"]["resources"]:
        if each["type"].endswith("lxd:Container"):
            each.update(item)
    engine.load(NAME, state)


def limit(engine: Engine) -> None:
    """Set a limit in the stack file."""
    engine.write(NAME, number=41, id=ID, servers=[{"name": "yuno1", "limits": {"cpu": "1"}}])


def add(engine: Engine) -> None:
    """Add a server."""
    engine.write(NAME, number=41, id=ID, servers=[{"name": "yuno1"}, {"name": "yuno2"}])


def rename(engine: Engine) -> None:
    """Give the server another name below its domain."""
    engine.write(NAME, number=41, id=ID, servers=[{"name": "yuno1", "names": ["wiki"]}])


def mistake(engine: Engine) -> None:
    """Write a mistake."""
    engine.write(NAME, number=41, id=ID, servers=[{"name": "yuno1", "limits": {"cpu": "many"}}])


def password(engine: Engine) -> None:
    """Set another password."""
    engine.pulumi("config", "set", "--secret", "grappe:password", "another-one", "-s", NAME)


def lose_server(engine: Engine) -> None:
    """Lose the container."""
    del engine.hosts[LAB].lxd.instances[f"grappe-{NAME}", "yuno1"]


def lose_rule(engine: Engine) -> None:
    """Lose the loaded NAT rules."""
    chains = engine.hosts[LAB].system.chains
    for key in [key for key in chains if "GRAPPE" in str(key)]:
        chains[key] = []


@pytest.mark.parametrize("alter", [limit, add, rename, mistake, password, lose_server, lose_rule])
def test_every_change_is_left_to_the_engine(
    up: Engine, alter: Callable[[Engine], None], back: Callable[[], None]
) -> None:
    """The comparison finds each difference; after an `up` of the engine it finds none."""
    alter(up)
    assert compared(up).difference
    assert "no changes were expected" in up.up(NAME, "--expect-no-changes", ok=None) or (
        alter is mistake and "error:" in up.output
    )
    back()
    assert compared(up) == unchanged.Comparison(resources=COUNT)


@pytest.mark.parametrize(
    "item", [{"taint": True}, {"dependencies": []}, {"protect": True}, {"initErrors": ["x"]}]
)  # fmt: skip
def test_state_that_asks_for_work_is_left_to_the_engine(up: Engine, item: dict[str, Any]) -> None:
    """Although the hosts match the state."""
    state = up.state(NAME)
    change(up, **item)
    assert compared(up).difference
    up.load(NAME, state)
    assert not compared(up).difference


@pytest.mark.parametrize("part", ["inputs", "outputs"])
@pytest.mark.parametrize("kind", ["pulumi:pulumi:Stack", "grappe:index:Server"])
def test_component_that_differs_is_left_to_the_engine(up: Engine, kind: str, part: str) -> None:
    """The stack's outputs are what the card shows."""
    state, other = up.state(NAME), up.state(NAME)
    for each in other["deployment"]["resources"]:
        if each["type"].endswith(kind):
            each[part] = {**each.get(part, {}), "more": "x"}
    up.load(NAME, other)
    assert f"other {part}" in compared(up).difference
    up.load(NAME, state)


def test_another_provider_is_left_to_the_engine(up: Engine) -> None:
    """And what names it is not unpickled: any process here could send it."""
    state, other = up.state(NAME), up.state(NAME)
    for each in other["deployment"]["resources"]:
        if each["type"].endswith("lxd:Network"):
            each["outputs"]["__provider"] = "gASVAAAAAAAAAA=="
    up.load(NAME, other)
    assert "has another provider" in compared(up).difference
    up.load(NAME, state)


def test_inputs_of_an_older_version_are_left_to_the_engine(up: Engine) -> None:
    """The engine writes today's inputs into the state, although no host changes."""
    state, older = up.state(NAME), up.state(NAME)
    for each in older["deployment"]["resources"]:
        if each["type"].endswith("lxd:Network"):
            del each["inputs"]["config"]
    up.load(NAME, older)
    assert "changes" in compared(up).difference
    up.load(NAME, state)


@pytest.mark.usefixtures("back")
def test_relation_of_a_later_version_is_written_by_one_up(up: Engine) -> None:
    """A state without `deletedWith` is left to the engine once, which changes no host."""
    # A server without a post-installation has a step for names.
    up.pulumi("config", "rm", "grappe:password", "-s", NAME)
    up.up(NAME)
    older = up.state(NAME)
    resources = older["deployment"]["resources"]
    assert [each.pop("deletedWith") for each in resources if "deletedWith" in each]
    up.load(NAME, older)
    assert "has other dependencies" in compared(up).difference
    up.assert_unchanged(NAME)
    assert not compared(up).difference


def test_refusal_by_the_host_is_reported_at_once(
    up: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's check finds a mistake, although the resource matches the state."""
    mistake = problems.Mistake("grappe:number", "is not free")
    provider = Container.provider
    monkeypatch.setattr(provider, "examine", lambda _self, spec, _was: (spec, [mistake]))
    with pytest.raises(errors.BadInputError, match="is not free"):
        compared(up)


def test_resource_that_the_program_lacks_is_left_to_the_engine(up: Engine) -> None:
    """The state has one resource more, which the engine deletes."""
    state = up.state(NAME)
    more = up.state(NAME)
    entry = next(each for each in more["deployment"]["resources"] if each["type"].endswith("Entry"))
    more["deployment"]["resources"].append({**entry, "urn": f"{entry['urn']}-more"})
    up.load(NAME, more)
    assert "is to go" in compared(up).difference
    up.load(NAME, state)


def test_pending_operations_and_locks_are_left_to_the_engine(up: Engine) -> None:
    """A killed run leaves a pending operation; a run that is under way holds a lock."""
    path = State(up.project / ".state", "grappe", NAME).path
    text = path.read_text()
    pending = json.loads(text)
    latest = pending["checkpoint"]["latest"]
    latest["pending_operations"] = [{"resource": latest["resources"][-1], "type": "creating"}]
    path.write_text(json.dumps(pending))
    assert compared(up).difference
    path.write_text(text)
    lock = up.project / ".state" / ".pulumi" / "locks" / "organization" / "grappe" / NAME / "1.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("{}")
    assert compared(up).difference
    lock.unlink()
    assert not compared(up).difference


def test_daemon_that_does_not_answer_is_reported_at_once(
    up: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plan of the engine would."""

    def meet(_request: str) -> None:
        raise errors.DaemonError("LXD is away")

    monkeypatch.setattr(up.hosts[LAB].lxd, "meet", meet)
    with pytest.raises(errors.BadInputError, match="grappe:host  LXD is away"):
        compared(up)


def test_host_that_does_not_answer_is_reported_at_once(
    up: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine would wait for it once more."""

    def connect(text: str) -> Any:
        raise errors.HostError(f"{text} does not answer")

    monkeypatch.setattr(connections, "connect", connect)
    with pytest.raises(errors.BadInputError, match=f"grappe:host  {LAB} does not answer"):
        compared(up)


def test_wrong_passphrase_is_left_to_the_engine(
    up: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine reports the error."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    assert "cannot be decrypted" in compared(up).difference


def test_same_password_encrypted_again_is_no_change(up: Engine) -> None:
    """The plain values are compared, not the ciphertexts."""
    up.pulumi("config", "set", "--secret", "grappe:password", "not-in-plain", "-s", NAME)
    assert not compared(up).difference


def test_comparison_changes_nothing(up: Engine) -> None:
    """Hosts and state stay the same; in a server it only lists the services."""
    path = State(up.project / ".state", "grappe", NAME).path
    before, state = up.inventory(), path.read_bytes()
    up.record_requests(LAB)
    up.hosts[LAB].lxd.argv.clear()
    assert not compared(up).difference
    assert (up.inventory(), path.read_bytes()) == (before, state)
    assert {"POST instances/yuno1/exec"} == set(up.requests)
    # Without our mark, it asks for the login too.
    assert [services.survey(), ["getent", "passwd", "uma"]] == up.hosts[LAB].lxd.argv


def test_cancelled_comparison_is_left_to_the_engine(up: Engine) -> None:
    """After a Ctrl-C it reports a difference, never "unchanged"."""
    this = run.Run(command="up", rebuild="")
    this.cancelled.set()
    assert compared(up, this=this).difference
