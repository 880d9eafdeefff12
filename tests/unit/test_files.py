"""Stack files and states on disk: conflicts, truncated files, and YAML as the engine reads it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import yaml

from cli import environment, stack
from core import errors
from engine.state import State
from stacks import files, neighbours

ALICE = {"host": "ssh://lab", "number": 20, "id": "alicealice01", "student": "alice"}


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, ["grappe:id", "grappe:number", "grappe:student"]),
        ({"id": "bobbobbobbob", "student": "bob", "number": "20"}, ["grappe:number"]),
        ({"id": "bobbobbobbob", "student": "bob", "number": 21}, []),
        ({"id": "bobbobbobbob", "number": 21}, ["grappe:student"]),
        ({"id": "bobbobbobbob", "number": 21, "student": "Alice"}, ["grappe:student"]),
        ({"id": "bobbobbobbob", "host": "ssh://other"}, []),
        ({"host": "ssh://other"}, ["grappe:id"]),
        ({"id": "bobbobbobbob", "kind": "image"}, []),
    ],
)
def test_conflicting_stack_files_are_reported(changes: dict[str, Any], keys: list[str]) -> None:
    """Number and student on one host, the id on any; each mistake names the other stack."""
    found = neighbours.conflicts("bob", {**ALICE, **changes}, {"alice": ALICE})
    assert keys == [mistake.key for mistake in found]
    assert all("alice" in mistake.reason for mistake in found)


RELAY = {"relay": "ssh://r"}
IMAGE = {"kind": "image", "recipe": "standin"}


@pytest.mark.parametrize(
    ("theirs", "ours", "keys"),
    [
        ({}, {}, []),
        ({"servers": [{"name": "a", "port": 22232}]}, {}, ["servers[0].port"]),
        ({}, {"servers": [{"name": "a"}, {"name": "b", "port": 22222}]}, ["servers[1].port"]),
        ({"servers": [{"name": "a", "domain": "Shop.test"}]},
         {"servers": [{"name": "b", "domain": "shop.test"}]}, ["servers[0].domain"]),
        ({"servers": [{"name": "a", "domain": "shop.test", "names": ["www"]}]},
         {"servers": [{"name": "b", "domain": "www.shop.test"}]}, ["servers[0].domain"]),
        ({"default": "yuno1"}, {"default": "yuno2"}, ["default"]),
        ({"default": "yuno1"}, {"default": "yuno2", "host": "ssh://other"}, []),
        ({"tunnel": RELAY}, {"tunnel": RELAY, "host": "ssh://other"},
         ["tunnel.forwards[0].listen", "tunnel.forwards[1].listen"]),
        ({"tunnel": RELAY}, {"tunnel": {**RELAY, "forwards": [{"listen": 9, "port": 80}]}}, []),
        (IMAGE, {**IMAGE, "number": None}, ["number", "alias"]),
        (IMAGE, {**IMAGE, "alias": "mine"}, []),
    ],
)  # fmt: skip
def test_what_only_one_lab_may_have_is_reported(
    theirs: dict[str, Any], ours: dict[str, Any], keys: list[str]
) -> None:
    """Ports, domains and the default of a host, and the ports of a relay."""
    held = neighbours.claimed({"alice": {"host": "ssh://lab", "number": 1, **theirs}})
    new = {"host": "ssh://lab", "number": 2, **ours}
    found = neighbours.claims_of_others("bob", new, held)
    assert [f"grappe:{key}" for key in keys] == [mistake.key for mistake in found]
    assert all("is alice's, by stacks/Pulumi.alice.yaml" in mistake.reason for mistake in found)


def test_setting_outside_of_config_is_reported(tmp_path: pathlib.Path) -> None:
    """It would count for nothing."""
    (tmp_path / "Pulumi.bob.yaml").write_text("config:\n  grappe:number: 1\ngrappe:host: ssh://x\n")
    (found,) = files.misread(tmp_path, "bob")
    assert ("grappe:host", True) == (found.key, "is outside of `config:`" in found.reason)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("config:\n  grape:limits: {}\n", "grape:limits", "Did you mean grappe:limits?"),
        ("config:\n  Grappe:host: x\n", "Grappe:host", "Did you mean grappe:host?"),
        ("config:\n  grappe:host: x\n  host: y\n", "host", "is there twice, as grappe:host too"),
        ("Config:\n  grappe:host: x\n", "Config", "Did you mean config?"),
        ("config:\n  \u00a0grappe:host: x\n", "\u00a0grappe:host", "Did you mean grappe:host?"),
    ],
)
def test_key_that_counts_for_nothing_is_reported(
    tmp_path: pathlib.Path, text: str, key: str, words: str
) -> None:
    (tmp_path / "Pulumi.bob.yaml").write_text(text)
    (found,) = files.misread(tmp_path, "bob")
    assert key == found.key
    assert words in found.reason


def test_keys_of_others_are_left_alone(tmp_path: pathlib.Path) -> None:
    text = "config:\n  pulumi:tags: {}\n  command:x: 1\n  grappe:config:host: x\n  number: 1\n"
    (tmp_path / "Pulumi.bob.yaml").write_text(text)
    assert [] == files.misread(tmp_path, "bob")


def test_stack_name_is_the_default_student() -> None:
    """As the program has it."""
    other = {"host": "ssh://lab", "number": 1}
    (found,) = neighbours.conflicts(
        "bob", {"host": "ssh://lab", "student": "alice"}, {"alice": other}
    )
    assert "grappe:student" == found.key


def test_a_free_number_is_the_first_that_no_file_has() -> None:
    """Of that host alone."""
    others = {"a": {"host": "ssh://lab", "number": 1}, "b": {"host": "ssh://lab", "number": "3"},
              "c": {"host": "ssh://other", "number": 2},
              "d": {"host": "ssh://lab", "number": 2, "kind": "image"}}  # fmt: skip
    assert 2 == neighbours.free_number("ssh://lab", others)
    assert 1 == neighbours.free_number("ssh://lab", {})


@pytest.mark.parametrize("text", ["config: [", "config:\n  - a\n", "- a\n", "\x00"])
def test_unreadable_stack_file_is_refused_by_name(tmp_path: pathlib.Path, text: str) -> None:
    """Other stacks ignore it."""
    files.path_of(tmp_path, "alice").write_text(text)
    with pytest.raises(errors.BadInputError, match=r"Pulumi\.alice\.yaml"):
        files.read(tmp_path, "alice")
    assert {} == files.others(tmp_path, "bob")


def test_number_of_a_file_with_a_mistake_is_taken(tmp_path: pathlib.Path) -> None:
    """Another lab that got it would be refused by its `up` alone."""
    text = 'config:\n  "grappe:host": ssh://lab\n  grappe:number: 1\n  grappe:limits: {cpu: [\n'
    files.path_of(tmp_path, "demo").write_text(text)
    (tmp_path / "Pulumi.folder.yaml").mkdir()
    others = files.others(tmp_path, "bob")
    (found,) = neighbours.conflicts("bob", {"host": "ssh://lab", "number": 1}, others)
    assert "1 is demo's, by stacks/Pulumi.demo.yaml. Free: 2" in found.reason
    files.path_of(tmp_path, "demo").write_text(f"{text}  grappe:kind: image\n")
    others = files.others(tmp_path, "bob")
    assert [] == neighbours.conflicts("bob", {"host": "ssh://lab", "number": 1}, others)


def test_empty_stack_file_has_no_settings(tmp_path: pathlib.Path) -> None:
    """`stacks/settings.py` refuses what is missing."""
    files.path_of(tmp_path, "alice").write_text("")
    assert {} == files.read(tmp_path, "alice")
    assert ["alice"] == files.names(tmp_path)


def _state(tmp_path: pathlib.Path, text: str) -> State:
    state = State(tmp_path, "grappe", "alice")
    state.path.parent.mkdir(parents=True)
    state.path.write_text(text)
    return state


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 3}'])
def test_truncated_state_error_has_the_backup(tmp_path: pathlib.Path, text: str) -> None:
    """A valid one beside it; otherwise how to go on without."""
    state = _state(tmp_path, text)
    with pytest.raises(errors.GrappeError, match=r"no backup is whole. rm .*alice\.json"):
        state.load()
    beside = state.path.parent / "alice.json.bak"
    beside.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {}}}))
    with pytest.raises(errors.GrappeError, match=r"cp .*alice\.json\.bak .*alice\.json"):
        state.load()


def test_missing_state_has_no_resources(tmp_path: pathlib.Path) -> None:
    """As before the first `up`."""
    assert [] == State(tmp_path, "grappe", "alice").resources()


class NoStack:
    """A stack whose methods must not be called."""

    name = "alice"


def test_truncated_lock_error_has_the_remedy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner is unknown."""
    monkeypatch.setattr(environment, "STATE", tmp_path)
    folder = tmp_path / ".pulumi/locks/organization/grappe/alice"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("")
    with pytest.raises(errors.GrappeError, match="pulumi cancel -s alice"):
        stack.ready(NoStack())  # type: ignore[arg-type]


def test_traces_are_the_stacks_alone(tmp_path: pathlib.Path) -> None:
    """State, backups, history, locks and logs; not those of a stack that begins alike."""
    state = _state(tmp_path, "{}")
    mine = ["backups/grappe/alice/1.json", "history/grappe/alice/1.json",
            "stacks/grappe/alice.json.bak", "locks/organization/grappe/alice/1.json"]  # fmt: skip
    theirs = ["backups/grappe/alice2/1.json", "stacks/grappe/alice2.json"]
    for name in mine + theirs:
        path = tmp_path / ".pulumi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    for name in (
        "organization+grappe+alice-20261126T101953.log",
        "organization+grappe+alice2-20261126T101953.log",
        "organization+grappe+alice-zoe-20261126T101953.log",
    ):
        (logs / name).write_text("")
    found = {path.name for path in state.traces(tmp_path / "home")}
    assert {
        "1.json",
        "alice.json",
        "alice.json.bak",
        "organization+grappe+alice-20261126T101953.log",
    } == found
    assert 6 == len(state.traces(tmp_path / "home"))


@pytest.mark.parametrize(
    ("name", "history", "words"),
    [("meta.yaml", False, "version: 1"), ("history/grappe/alice/1.json.attrs", True, "rm ")],
)  # fmt: skip
def test_truncated_file_beside_a_state_is_refused(
    tmp_path: pathlib.Path, name: str, history: bool, words: str
) -> None:
    """The engine says EOF, and no more."""
    state = _state(tmp_path, "{}")
    state.demand_whole(history=True)
    path = tmp_path / ".pulumi" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with pytest.raises(errors.GrappeError) as found:
        state.demand_whole(history=history)
    assert words in found.value.do


def test_empty_attributes_of_a_state_are_removed(tmp_path: pathlib.Path) -> None:
    """A killed run leaves them so, and running again is always safe."""
    state = _state(tmp_path, "{}")
    path = tmp_path / ".pulumi" / "stacks/grappe/alice.json.attrs"
    path.parent.mkdir(parents=True, exist_ok=True)
    for text, there in (("{}", True), ("", False)):
        path.write_text(text)
        state.demand_whole()
        assert there is path.exists()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ssh://sam@lab", 2),
        ("ssh://LAB:22", 2),
        ("ssh://lab:2222", 1),
        ("ssh://other", 1),
        ("x", 1),
    ],
)
def test_number_belongs_to_the_machine_not_the_login(host: str, expected: int) -> None:
    """Two labs of one number on one host are refused, by whichever login."""
    others = {"alice": {"host": "ssh://root@lab", "number": 1, "student": "alice"}}
    assert expected == neighbours.free_number(host, others)
    found = neighbours.conflicts("bob", {"host": host, "number": 1, "student": "bob"}, others)
    assert (expected == 2) is any(each.key == "grappe:number" for each in found)


@pytest.mark.parametrize(
    "text", ["12e456789012", "123456789012", "0o17", "no", "1.5", "zoe", "true"]
)
def test_written_text_stays_a_text_for_the_engine(text: str) -> None:
    """A random id may look like a number: one that was read as infinite was refused."""
    assert {"id": text} == files.load(files.dump({"id": text}))


PROJECT = """\
name: grappe
stackConfigDir: stacks
backend: {url: file://./.state}
runtime: python
config:
  grappe:profiles: {type: array, default: [default]}
  grappe:domain: {type: string, default: grappe.test}
"""


@pytest.mark.parametrize(
    ("file", "project", "words"),
    [
        ("config: {grappe:number: 1}", "", ""),
        ("config: {grappe:profiles: [a]}", "", ""),
        (
            "config: {grappe:profiles: '[\"a\"]'}",
            "",
            "grappe:profiles is a text, and its type is array",
        ),
        ("environment: [foo]", "", "the stack file has environment"),
        ("secretsprovider: awskms://x", "", "the stack file has secretsprovider"),
        ("config: {}", "main: elsewhere", "Pulumi.yaml has another main"),
        ("config: {}", "backend: {url: s3://bucket}", "Pulumi.yaml has another backend"),
    ],
)
def test_unusual_settings_are_left_to_the_engine(
    file: str, project: str, words: str, tmp_path: pathlib.Path
) -> None:
    """A comparison without it would call unchanged what it refuses, or finds elsewhere."""
    (tmp_path / "stacks").mkdir()
    kept = [
        line
        for line in PROJECT.splitlines()
        if line.split(":")[0] != project.split(":", maxsplit=1)[0]
    ]
    (tmp_path / "Pulumi.yaml").write_text("\n".join([*kept, project]))
    files.path_of(tmp_path / "stacks", "alice").write_text(file)
    assert words == files.configuration(tmp_path / "stacks", "alice").unusual


def test_key_without_a_namespace_is_grappes(tmp_path: pathlib.Path) -> None:
    """The engine puts the project's name before it; a value in Pulumi.yaml is one for all."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        PROJECT + "  image: {value: bench}\n  grappe:login: tim\n"
    )
    text = "config: {domain: other.test, grappe:config:number: 3, aws:region: x}"
    files.path_of(tmp_path / "stacks", "alice").write_text(text)
    assert {"domain": "other.test", "number": 3} == files.read(tmp_path / "stacks", "alice")
    plain = files.configuration(tmp_path / "stacks", "alice").plain
    assert ("other.test", "3", "bench", "tim") == tuple(
        plain[f"grappe:{key}"] for key in ("domain", "number", "image", "login")
    )


def test_a_key_that_is_there_twice_is_refused(tmp_path: pathlib.Path) -> None:
    """As the engine does, with its name; the last one would win else."""
    files.path_of(tmp_path, "alice").write_text("config:\n  grappe:number: 1\n  grappe:number: 2\n")
    with pytest.raises(errors.BadInputError, match="grappe:number is there twice"):
        files.read(tmp_path, "alice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-11-27", "2024-11-27 00:00:00 +0000 UTC"), ("2024-13-45", "2024-13-45"),
        ("[2026-11-27]", ["2026-11-27 00:00:00 +0000 UTC"]), ("!!binary aGk=", "hi"),
        ("2001-12-14t21:59:43", "2001-12-14 21:59:43 +0000 UTC"), ("!!set {a, b}", {"a": None, "b": None}),
    ],
)  # fmt: skip
def test_yaml_dates_become_the_engines_texts(text: str, expected: object) -> None:
    """The engine's own texts of them, by `pulumi config --json` of 3.250.0."""
    assert {"a": expected} == files.load(f"a: {text}")


@pytest.mark.parametrize("text", ["a: &b [*b]", "a: " + "[" * 200000 + "]" * 200000])
def test_endless_yaml_is_refused(text: str) -> None:
    """The engine refuses the first too."""
    with pytest.raises(yaml.YAMLError):
        files.load(text)
