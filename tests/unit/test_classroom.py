"""A class: its file, its stacks, and many runs at once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from checks import capacity
from classroom import class_file, runner, sleep, snapshots
from cli import class_new, class_reports, class_runs, class_snapshots, environment
from cli import classroom as commands
from core import errors
from engine.passphrase import Passphrase
from engine.stack import Stack
from providers.lxd import fake
from stacks import files, kinds
from views import class_cards

MOODLE = (
    "Prénom,Nom,Numéro d'identification,Adresse de courriel,Groupe\nAdèle,Dupont,17,a@x.fr,TP1\n"
)
PRONOTE = "Élève;Classe\nDUPONT Adèle;TP1\n"
ENGLISH = "First name\tSurname\tEmail address\nAdèle\tDupont\ta@x.fr\n"
SPACES = "\n;\nNom ; Prénom ;Mail\n  Dupont ;  Adèle ;a@x.fr\n;;\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty project."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    return tmp_path


def create(folder: pathlib.Path, text: str, **given: Any) -> int:
    """Run `class new tp1`."""
    (folder / "roster.csv").write_text(text)
    options = {"name": "tp1", "roster": str(folder / "roster.csv"), "host": "ssh://lab", "image": "",
               "domain": "", "workstation": "none", "relay": "", "post_install": False, "pairs": [],
               **given}  # fmt: skip
    return class_new.create(**options)


def stack_of(folder: pathlib.Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / f"stacks/Pulumi.{name}.yaml").read_text())
    return found["config"]


def test_new_gives_labels_and_numbers_once(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer roster adds students, reports missing ones and changes nobody; comments stay."""
    alone = {"grappe:host": "ssh://lab", "grappe:number": 2, "grappe:student": "zoe"}
    (folder / "stacks/Pulumi.zoe.yaml").write_text(yaml.safe_dump({"config": alone}))
    create(folder, "Nom,Prénom,Mail\nDupont,Adèle,a@x\nPetit,Zoé,z@x\n")
    assert 1 == stack_of(folder, "tp1-adele")["grappe:number"]
    zoe = stack_of(folder, "tp1-zoe-petit")
    assert (3, "zoe-petit") == (zoe["grappe:number"], zoe["grappe:student"])
    path = folder / "classes/tp1.yaml"
    path.write_text(path.read_text().replace("number: 1\n", "number: 1  # by the window\n"))
    capsys.readouterr()
    create(folder, "Nom,Prénom,Mail\nPetit,Zoé,Z@x\nMartin,Léo,l@x\n", host="", workstation="")
    said = capsys.readouterr()
    assert "1 of the class are not in this roster, and stay: Adèle Dupont" in said.err
    assert "3 students, 1 of them new" in said.out
    assert "# by the window" in path.read_text()
    assert 4 == stack_of(folder, "tp1-leo")["grappe:number"]
    assert zoe == stack_of(folder, "tp1-zoe-petit")
    assert ["adele", "zoe-petit", "leo"] == [
        each.label for each in class_file.read(folder, "tp1").students
    ]


def test_a_namesake_has_a_lab_of_their_own(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another id or e-mail; a student with a new name keeps the lab, with a message."""
    heads = "Nom,Prénom,Id,Mail\n"
    create(folder, heads + "Martin,Zoé,2,z@x\nDupont,Adèle,3,\n")
    given = {"host": "", "workstation": ""}
    create(folder, heads + "Martin,Zoé,9,z2@x\nDurand,Adèle,3,a@x\n", **given)
    said = capsys.readouterr()
    assert "Adèle Dupont has the name Adèle Durand in this roster" in said.err
    assert "stay: Zoé Martin" in said.err
    labels = [each.label for each in class_file.read(folder, "tp1").students]
    assert ["zoe", "adele"] == labels[:2]
    assert 3 == len(labels)
    with pytest.raises(errors.BadInputError, match=r"line 2 .*has the name of zoe, zoe-martin"):
        create(folder, "Nom,Prénom\nMartin,Zoé\n", **given)
    key = f"ssh-ed25519 {'A' * 68}"
    capsys.readouterr()
    create(folder, f"Nom,Prénom,Id,Key\nDupont,Adèle,3,{key}\n", **given)
    assert "Adèle Dupont has another key in this roster" in capsys.readouterr().err
    create(folder, "Élève\nMARTIN Zoé\nDUPONT Adèle\n", name="tp2")
    create(folder, "Élève,Id\nMARTIN Zoé,2\n", name="tp2", **given)
    assert 2 == len(class_file.read(folder, "tp2").students)
    with pytest.raises(errors.BadInputError, match=r"line 2 .*id of Adèle Dupont and the e-mail"):
        create(folder, heads + "Petit,Léo,3,z@x\n", **given)


def test_class_named_like_a_student_has_no_strays(folder: pathlib.Path) -> None:
    """Class tp1-adele, and the stack tp1-adele-durand of class tp1."""
    create(folder, "Nom,Prénom\nDurand,Adele\nDupont,Adele\n")
    assert (folder / "stacks/Pulumi.tp1-adele-durand.yaml").exists()
    create(folder, "Nom\nBob\n", name="tp1-adele")
    for name in ("tp1", "tp1-adele"):
        assert [] == commands.strays(name, class_file.read(folder, name))


def test_later_student_gets_a_password_too(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class file records post_install; without a password anybody could take the server."""
    monkeypatch.setattr(commands, "environment", SimpleNamespace(apply=lambda: None))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "only for this test")
    create(folder, "Nom\nAdele\n", post_install=True)
    create(folder, "Nom\nAdele\nLeo\n", host="", workstation="")
    passwords = set()
    for name in ("tp1-adele", "tp1-leo"):
        found = yaml.safe_load((folder / f"stacks/Pulumi.{name}.yaml").read_text())
        secret = found["config"]["grappe:password"]["secure"]
        text = Passphrase(found["encryptionsalt"]).decrypt(secret)
        assert re.fullmatch(r"(?:[^\WlIO0_]{5}-){2}[^\WlIO0_]{5}", text)
        passwords.add(text)
    assert 2 == len(passwords)
    assert class_file.read(folder, "tp1").post_install


def test_class_new_resumes_after_an_interruption(folder: pathlib.Path) -> None:
    """A missing stack file is written, with the number of the class file."""
    create(folder, "Nom\nAdele\nZoe\n")
    path = folder / "stacks/Pulumi.tp1-zoe.yaml"
    path.unlink()
    create(folder, "Nom\nAdele\nZoe\nNoe\n", host="", workstation="")
    assert [1, 2, 3] == [
        stack_of(folder, f"tp1-{name}")["grappe:number"] for name in ("adele", "zoe", "noe")
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "nowhere"}, "nowhere"),
        ({"host": ""}, "a new class needs its lab host"),
        ({"domain": "x y"}, "grappe:domain"),
        ({"name": "TP 1"}, "as tp-1"),
        ({"roster": "/nowhere.csv"}, "there is no roster"),
    ],
)
def test_class_new_refuses_before_it_writes(
    folder: pathlib.Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(errors.BadInputError) as found:
        create(folder, "Nom\nA\nB\n", **changes)
    assert words in str(found.value)
    assert not list((folder / "stacks").iterdir())
    assert not (folder / "classes").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("host: [", ["cannot be read"]),
        ("- a", ["is not a class file"]),
        ("host: ssh://lab\nstudents:\n- {name: A, label: a, number: 1}\n- {name: B, label: a, number: 1}\n",
         ["students[1].label  a is that of students[0] too", "students[1].number  1"]),
        ("host: lab\nstudnets: []\nsettings: {imgae: x, number: 3}\n",
         ["studnets  is not a setting. Did you mean students?", "settings.imgae  is not a setting",
          "settings.number  is each student's own"]),
        ("host: ssh://lab\nstudents:\n- {name: A, number: x, label: 'a b'}\n",
         ["students[0].number"]),
        ("host: ssh://lab\nstudents:\n- {name: A, number: 0, label: a}\n"
         "- {name: B, number: 4001, label: b}\n",
         ["students[0].number  0 is not a number of a lab: 1 to 4000", "students[1].number"]),
    ],
)  # fmt: skip
def test_class_file_reports_all_mistakes_at_once(
    folder: pathlib.Path, text: str, words: list[str]
) -> None:
    """Syntax, unknown keys, duplicates and numbers out of range."""
    (folder / "classes").mkdir()
    (folder / "classes/tp1.yaml").write_text(text)
    with pytest.raises(errors.BadInputError) as found:
        class_file.read(folder, "tp1")
    for each in words:
        assert each in str(found.value)


def test_language_of_a_class_applies_to_new_students(folder: pathlib.Path) -> None:
    """Earlier stack files stay; an unknown language is refused before anything is written."""
    create(folder, "Nom\nAdele\n")
    path = folder / "classes/tp1.yaml"
    written = path.read_text()
    path.write_text(written.replace("settings:\n", "settings:\n  language: de\n"))
    with pytest.raises(errors.BadInputError, match="tp1-zoe: grappe:language .*: en, fr"):
        create(folder, "Nom\nAdele\nZoe\n", host="", workstation="")
    path.write_text(written.replace("settings:\n", "settings:\n  language: fr\n"))
    create(folder, "Nom\nAdele\nZoe\n", host="", workstation="")
    assert "fr" == stack_of(folder, "tp1-zoe")["grappe:language"]
    assert "grappe:language" not in stack_of(folder, "tp1-adele")


def test_unknown_student_or_class_is_refused(folder: pathlib.Path) -> None:
    create(folder, "Nom\nAdele\nZoe\n")
    with pytest.raises(
        errors.BadInputError, match="adel is not a student of tp1. Did you mean adele?"
    ):
        class_reports.status("tp1", ["adel", "zoe"], as_json=False)
    with pytest.raises(errors.BadInputError, match="there is no class tp2"):
        class_reports.status("tp2", [], as_json=False)


def test_students_of_two_classes_never_share_a_stack(folder: pathlib.Path) -> None:
    """b-al of class tp, and al of class tp-b."""
    create(folder, "Nom\nB Al\n", name="tp")
    assert {"Pulumi.tp-b-al.yaml"} == stacks_of(folder).keys()
    create(folder, "Nom\nAl\nZoe\n", name="tp-b")
    names = ("tp-b-al", "tp-b-al-2", "tp-b-zoe")
    assert {f"Pulumi.{name}.yaml" for name in names} == stacks_of(folder).keys()


def test_more_students_than_numbers_are_refused(folder: pathlib.Path) -> None:
    create(folder, "Nom\n" + "\n".join(f"Un {number}" for number in range(3999)), name="tp1")
    with pytest.raises(errors.BadInputError, match="for 4000 students, and 2 more are needed"):
        create(folder, "Nom\nAdele\nZoe\nBob\n", name="tp2")


def test_status_reports_unreadable_and_missing_stack_files(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(folder, "Nom\nAdele\nZoe\n")
    (folder / "stacks/Pulumi.tp1-adele.yaml").write_bytes(b"config: [")
    (folder / "stacks/Pulumi.tp1-zoe.yaml").unlink()
    capsys.readouterr()
    class_reports.status("tp1", [], as_json=True)
    rows = json.loads(capsys.readouterr().out)["students"]
    assert ["its stack file cannot be read", "no stack file"] == [row["state"] for row in rows]


def test_two_classes_at_once_share_no_number(folder: pathlib.Path) -> None:
    """The second waits until the first has written its stack files."""
    began, ended = threading.Event(), []

    def second() -> None:
        began.set()
        ended.append(create(folder, "Nom\nZoe\n", name="tp2"))

    with class_runs.stack.numbering():
        other = threading.Thread(target=second)
        other.start()
        assert began.wait(10)
        # It would have written in a tenth of that.
        other.join(2)
        assert other.is_alive()
        (folder / "stacks/Pulumi.bob.yaml").write_text(
            "config:\n  grappe:host: ssh://lab\n  grappe:number: 1\n"
        )
    other.join(20)
    assert [0] == ended
    assert 2 == stack_of(folder, "tp2-zoe")["grappe:number"]


def test_state_that_cannot_be_read_stops_no_other(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create(folder, "Nom\nAdele\nZoe\n")
    shutil.copy(pathlib.Path(__file__).parents[2] / "Pulumi.yaml", folder)

    def recorded(name: str) -> list[dict[str, Any]]:
        if name == "tp1-adele":
            raise errors.GrappeError("its state is cut off")
        inputs = {
            "name": "yuno1",
            "project": "grappe-zoe",
            "address": "10.64.2.10",
            "state": "running",
        }
        stack = {"type": "pulumi:pulumi:Stack", "outputs": {"servers": [1]}}
        return [stack, {"type": "x/lxd:Container", "inputs": inputs}]

    monkeypatch.setattr(class_reports.stack, "recorded", recorded)
    capsys.readouterr()
    class_reports.status("tp1", [], as_json=True)
    rows = json.loads(capsys.readouterr().out)["students"]
    assert ["its state cannot be read", "up"] == [row["state"] for row in rows]
    file = class_file.read(folder, "tp1")
    found, broken = commands.servers_up("tp1", file, [])
    assert (["zoe:yuno1"], ["adele"]) == ([each.row for each in found], broken)
    assert "error: adele: its state cannot be read" in capsys.readouterr().err
    assert [] == commands.servers_up("tp1", file, ["zoe"])[1]
    assert class_reports.check("tp1", ["adele"], as_json=False) == 2


def lose_state(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *, empty: bool) -> None:
    """Write a class of Adele and Zoe without states, or with those that `preview` creates."""
    create(folder, "Nom\nAdele\nZoe\n")
    # A class's runs change to the project's folder; pytest goes back.
    monkeypatch.chdir(folder)
    monkeypatch.setattr(class_runs.environment, "STATE", folder / ".state")
    monkeypatch.setattr(class_runs.environment, "apply", lambda: None)
    if empty:
        (folder / ".state" / ".pulumi").mkdir(parents=True)
        (folder / ".state" / ".pulumi" / "meta.yaml").write_text("version: 1\n")
        for name in ("tp1-adele", "tp1-zoe"):
            assert class_runs.stack.state_of(name).create()


@pytest.mark.parametrize("empty", [False, True])
def test_down_asks_before_a_lab_whose_state_is_lost_goes(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *, empty: bool
) -> None:
    """The host still has it, so it must not be reported as down."""
    lose_state(folder, monkeypatch, empty=empty)
    things = {"tp1-zoe": ["container yuno1"], "tp1-adele": []}
    monkeypatch.setattr(class_runs.downs, "leftovers_of", lambda name: things[name])
    with pytest.raises(errors.BadInputError, match="Take 1 labs of tp1 down.*content of zoe"):
        class_runs.down("tp1", [], yes=False, as_json=False, jobs=2)

    row = runner.Row("adele", "tp1-adele")
    assert "was down" == class_runs._down(row, object(), lost={"tp1-zoe": None})


@pytest.mark.parametrize("empty", [False, True])
def test_down_fails_for_a_lost_state_on_a_silent_host(
    folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    empty: bool,
) -> None:
    """Its lab may be there: the row is no question, and not `was down`; the others go on."""
    lose_state(folder, monkeypatch, empty=empty)
    zoe = folder / "stacks" / "Pulumi.tp1-zoe.yaml"
    zoe.write_text(zoe.read_text().replace("ssh://lab", "lab"))

    def fail(*_arguments: object) -> object:
        raise errors.HostError("lab1 does not answer", do="ssh lab1")

    monkeypatch.setattr("providers.leftovers.driver.find", fail)
    with pytest.raises(errors.HostError, match="lab1 does not answer"):
        class_runs.downs.leftovers_of("tp1-adele")
    assert 1 == class_runs.down("tp1", [], yes=False, as_json=False, jobs=2)
    output = capsys.readouterr().out
    assert "it has no state, and its host was not searched: lab1 does not answer" in output
    assert "ssh lab1; if that host is gone for good: ./lab forget tp1-adele" in output
    assert 'Pulumi.tp1-zoe.yaml: "lab" is not' in output


def test_down_of_a_lab_without_a_state_needs_its_host(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how to go on where the host is gone for good."""
    lose_state(folder, monkeypatch, empty=False)
    chosen = Stack("tp1-zoe", folder)
    monkeypatch.setattr(class_runs.stack, "select", lambda _name: chosen)
    for name in ("connect", "ready"):
        monkeypatch.setattr(class_runs.stack, name, lambda _selected: None)

    def fail(*_arguments: object) -> object:
        raise errors.HostError("lab1 does not answer")

    monkeypatch.setattr("providers.leftovers.driver.find", fail)
    with pytest.raises(errors.HostError, match="lab1 does not answer") as raised:
        class_runs.downs.down("tp1-zoe", yes=True)
    assert "./lab forget tp1-zoe" in raised.value.do


def test_class_file_whose_anchors_repeat_one_another_is_refused(folder: pathlib.Path) -> None:
    """A "billion laughs" of 9 to the power of 11 values."""
    create(folder, "Nom\nAdele\n")
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "classes/tp1.yaml").write_text("\n".join([*lines, "host: ssh://lab"]))
    with pytest.raises(errors.BadInputError, match="cannot be read"):
        class_file.read(folder, "tp1")
    with pytest.raises(yaml.YAMLError, match="more than 100000 values"):
        files.load("\n".join(lines))


def test_reset_to_an_unset_variable_is_refused(folder: pathlib.Path) -> None:
    with pytest.raises(errors.BadInputError, match="--to names no snapshot"):
        class_snapshots.reset("tp1", [], "", yes=True, jobs=1, as_json=False)


def test_mistake_of_all_students_is_reported_once(folder: pathlib.Path) -> None:
    with pytest.raises(errors.BadInputError) as refused:
        create(folder, "Nom\nAdele\nZoe\n", pairs=["pool=a b"])
    assert refused.value.seen.count("grappe:pool") == 1
    assert "2 students: grappe:pool" in refused.value.seen


def test_set_does_not_override_an_option(folder: pathlib.Path) -> None:
    with pytest.raises(errors.BadInputError, match="image cannot be set here"):
        create(folder, "Nom\nAdele\n", image="a", pairs=["image="])


def test_closed_or_full_output_stops_no_run() -> None:
    """The output is a pipe whose reader has left, or a full disk."""
    code = (
        "import sys; from classroom import runner; from cli import class_view\n"
        "rows = [runner.Row(name, name) for name in 'abc']; done = []\n"
        "with class_view.showing(rows, as_json=True) as show:\n"
        "    runs = runner.Runner(rows, lambda row: done.append(row.name) or '')\n"
        "    assert runs.run(1, show.wait, show.changed)\n"
        "sys.stderr.write(f'{len(done)} done')\n"
    )
    for shell in ('exec "$0" -c "$1" >/dev/full', '{ exec "$0" -c "$1"; } | :'):
        ended = subprocess.run(
            ["sh", "-c", shell, sys.executable, code], capture_output=True, text=True, check=False
        )
        assert ended.stderr.endswith("3 done")
        assert "Traceback" not in ended.stderr
        assert ("No space left" in ended.stderr) == ("full" in shell)


def test_failed_run_stops_no_other() -> None:
    """At most two at once; each is reported when it begins and when it ends."""
    rows = [runner.Row(name, f"tp1-{name}") for name in "abcdef"]
    most, now, lock = [0], [0], threading.Lock()

    def act(row: runner.Row) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            if row.name == "b":
                raise errors.CommandError("no room")
            if row.name == "c":
                raise KeyError("x")
        finally:
            with lock:
                now[0] -= 1
        return "up"

    told: list[tuple[str, str]] = []
    made = runner.Runner(rows, act)
    assert not made.run(2, lambda: None, lambda row: told.append((row.name, row.state)))
    assert ["done", "failed", "failed", "done", "done", "done"] == [row.state for row in rows]
    assert "no room" == rows[1].text
    assert "this is a bug in Grappe" in rows[2].text
    assert most[0] <= 2
    assert {(row.name, "running") for row in rows} <= set(told)


def test_interrupt_skips_runs_that_have_not_begun() -> None:
    """The current run ends; the others are reported as skipped."""
    rows = [runner.Row(name, name) for name in "abc"]
    made = runner.Runner(rows, lambda _row: made.stop() or "up")  # type: ignore[func-returns-value]
    assert not made.run(1, lambda: None)
    assert ["done", "skipped", "skipped"] == [row.state for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\nResources:\n    + 13 to create\n    17 unchanged\n", "13 to create"),
        ("Diagnostics:\n  a has drifted: it is missing\nResources:\n    ~ 1 to update\n    +-1 to replace\n",
         "1 to update, 1 to replace, 1 drifted"),
        ("Resources:\n    30 unchanged\n", "nothing to do"),
    ],
)  # fmt: skip
def test_preview_is_summarised_in_one_line(text: str, expected: str) -> None:
    assert expected == class_runs._planned(f"\n{text}")


def test_the_reason_of_a_failure_is_the_last_error() -> None:
    """Without the engine's summary, and with the `seen` line."""
    text = (
        "  error: Exception calling application: LXD failed: POST instances\n      seen: no room\n"
        "  pulumi:pulumi:Stack (x):\n    error: update failed\n\nDuration: 1s\n"
    )
    assert "LXD failed: POST instances seen: no room" == class_runs._reason(text)
    text += "error: the engine ended this registration: it was cancelled\n"
    assert "LXD failed: POST instances seen: no room" == class_runs._reason(text)
    assert "gr-1 created" == class_runs._reason("gr-1 created\n@ updating....\n")


def test_lock_of_another_run_is_reported_without_cancel() -> None:
    """The engine recommends a command that would take the lock from the other run."""
    text = (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) "
        "to end or delete the lock file with `pulumi cancel`.\n  .pulumi/locks/x.json: created by\n"
    )
    assert "another run of it is under way: wait for its end" == class_runs._reason(text)


ROOM = capacity.Capacity(memory=10 * 2**30, disk=50 * 10**9, inotify=128)


@pytest.mark.parametrize(
    ("changes", "wanted", "expected", "words"),
    [
        ({}, 4, 5, []),
        ({}, 6, 5, ["128 inotify instances, and 6 servers take 150"]),
        ({"inotify": 10**6}, 51, 50, ["memory for 50 more servers, and 51 are wanted"]),
        ({"inotify": 10**6, "servers": 2, "used": 2 * 2**30}, 10, 10, []),
        ({"inotify": 10**6, "disk": 10**8}, 3, 2, ["disk for 2 more servers, and 3 are wanted"]),
        ({"inotify": 10**6, "memory": 0, "disk": 0}, 1, 0, ["memory for 0", "disk for 0"]),
        ({"inotify": 50, "servers": 9}, 0, 0, ["9 servers take 225"]),
    ],
)  # fmt: skip
def test_room_for_more_servers_is_estimated(
    changes: dict[str, int], wanted: int, expected: int, words: list[str]
) -> None:
    """By what the host's servers take; without any, by what a real server was measured to take."""
    made = dataclasses.replace(ROOM, **changes)
    assert expected == capacity.fits(made)
    found = [what for what, _mends in capacity.findings(made, wanted)]
    assert len(words) == len(found)
    for word, what in zip(words, found, strict=True):
        assert word in what


CARD = {
    "name": "yuno1", "domain": "yuno1.zoe.grappe.test", "address": "10.64.1.10",
    "ssh": {"host": "192.168.8.10", "port": 22222, "user": "zoe"},
    "urls": ["http://yuno1.zoe.grappe.test/"], "fingerprints": ["ED25519 SHA256:x"],
}  # fmt: skip


def test_cards_are_rendered_as_page_and_table() -> None:
    """One section per student; markup in a name is escaped."""
    lab = kinds.parse(
        {"grappe:host": "ssh://lab", "grappe:number": "1", "grappe:student": "zoe",
         "grappe:password": "abcde-fghjk"}, project="grappe", stack="tp1-zoe",
        secrets=["grappe:password"],
    )  # fmt: skip
    made = class_cards.student(lab, [CARD], name="Zoé <b>", password="abcde-fghjk")
    page = class_cards.page("tp1", [made, made])
    assert 2 == page.count("<section")
    assert "Zoé &lt;b&gt;" in page
    for text in (
        "ssh -p 22222 zoe@192.168.8.10",
        "abcde-fghjk",
        "192.168.8.10\tyuno1.zoe.grappe.test",
    ):
        assert text in page
    assert class_cards.table([made]).splitlines() == [
        "student,name,server,domain,host,port,user,password",
        "zoe,Zoé <b>,yuno1,yuno1.zoe.grappe.test,192.168.8.10,22222,zoe,abcde-fghjk",
    ]


def test_letters_of_passwords_are_not_ambiguous() -> None:
    """Passwords are read from paper: no l, I, 0 or O."""
    assert not set("lI0O") & set(class_new.LETTERS)


@pytest.mark.parametrize("servers", ["", "  grappe:servers:\n  - name: a  # hers\n    image: x\n"])
def test_sleep_and_wake_restore_the_stack_file(tmp_path: pathlib.Path, servers: str) -> None:
    """After `wake` the file is as before, with comments; a second call changes nothing."""
    path = tmp_path / "Pulumi.x.yaml"
    text = f"config:\n  grappe:number: 7  # by the window\n{servers}"
    path.write_text(text)
    assert [True, False] == [sleep.put(path, asleep=True) for _ in range(2)]
    states = [
        each["state"] for each in yaml.safe_load(path.read_text())["config"]["grappe:servers"]
    ]
    assert {"stopped"} == set(states)
    assert [True, False] == [sleep.put(path, asleep=False) for _ in range(2)]
    assert text == path.read_text()


def test_folder_as_roster_is_refused(folder: pathlib.Path) -> None:
    with pytest.raises(errors.BadInputError, match="cannot be read"):
        create(folder, "", roster=str(folder))


def test_student_removed_from_the_class_file_is_reported(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the stack file; a later `class new` restores entry and number."""
    text = "Nom\nAdele\nZoe\n"
    create(folder, text)
    path = folder / "classes/tp1.yaml"
    whole = path.read_text()
    before = stacks_of(folder)
    content = yaml.safe_load(whole)
    removed = content["students"].pop(0)
    path.write_text(yaml.safe_dump(content))
    # As the engine writes a stack file that it puts a secret into.
    kept = folder / "stacks/Pulumi.tp1-zoe.yaml"
    kept.write_text(kept.read_text().replace("number: 2", "number: '2'"))
    before = stacks_of(folder)
    class_reports.status("tp1", [], as_json=False)
    said = capsys.readouterr().err
    assert "stacks/Pulumi.tp1-adele.yaml belongs to no student of tp1" in said
    assert "./lab down tp1-adele" in said
    create(folder, text, host="", workstation="")
    again = yaml.safe_load(path.read_text())["students"]
    assert removed in again
    assert before == stacks_of(folder)


def test_label_or_number_changed_by_hand_is_reported(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number is refused with the recorded one; for a label the message has `./lab rename`."""
    create(folder, "Nom\nAdele\nZoe\n")
    path = folder / "classes/tp1.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("number: 1", "number: 77"))
    with pytest.raises(errors.BadInputError, match="is 77, and stacks/Pulumi.tp1-adele.yaml has 1"):
        class_reports.status("tp1", [], as_json=False)
    path.write_text(whole.replace("label: adele", "label: odile"))
    class_reports.status("tp1", [], as_json=False)
    assert "./lab rename tp1-adele tp1-odile" in capsys.readouterr().err


def stacks_of(folder: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "stacks").iterdir()}


@pytest.mark.parametrize(("name", "cell"), [("=1+1", "'=1+1"), ("Zoé", "Zoé"), ("+cmd", "'+cmd")])
def test_name_in_the_table_is_no_formula(name: str, cell: str) -> None:
    """A cell that begins with =, +, - or @ gets an apostrophe."""
    assert cell == class_cards._no_formula(name)


def row_of(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> runner.Row:
    """Return the row of a lab that is up; its stack file is `Pulumi.tp1-zoe.yaml` there."""
    up = [{"type": "x/lxd:Container", "inputs": {"name": "yuno1"}}]
    monkeypatch.setattr(class_runs.stack, "file_of", lambda name: files.path_of(tmp_path, name))
    monkeypatch.setattr(class_runs.stack, "folder", lambda: tmp_path)
    monkeypatch.setattr(class_runs.stack, "recorded", lambda _name: up)
    return runner.Row("zoe", "tp1-zoe", log="")


def test_down_of_a_lab_whose_file_is_missing_fails(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is up, so it must not be reported as down."""
    row = row_of(tmp_path, monkeypatch)
    with pytest.raises(errors.BadInputError, match="is missing, and its lab is up"):
        class_runs._down(row, object())


def test_sleep_that_fails_leaves_the_stack_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the next `up`, meant to repair, would stop the servers."""
    row = row_of(tmp_path, monkeypatch)
    path = files.path_of(tmp_path, "tp1-zoe")
    path.write_text("config:\n  grappe:servers: [{name: yuno1}]\n")
    seen = []

    def fail(_row: object, _engine: object, *, changes: bool) -> str:
        assert changes
        seen.append(path.read_text())
        raise errors.CommandError("LXD does not answer")

    monkeypatch.setattr(class_runs, "_up", fail)
    monkeypatch.setattr(class_runs.stack, "select", lambda _name: None)
    monkeypatch.setattr(class_runs.labs, "demand_valid", lambda _name: None)
    with pytest.raises(errors.CommandError):
        class_runs._set_asleep(row, object(), asleep=True)
    assert "state: stopped" in seen[0]
    assert "config:\n  grappe:servers: [{name: yuno1}]\n" == path.read_text()


def test_sleep_without_a_stack_file_is_refused(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(folder, "Nom\nZoe\n")
    row = row_of(folder / "stacks", monkeypatch)
    path = folder / "stacks/Pulumi.tp1-zoe.yaml"
    path.unlink()
    with pytest.raises(errors.BadInputError) as refused:
        class_runs._set_asleep(row, object(), asleep=True)
    assert "./lab class new tp1 --roster FILE writes it again" in refused.value.do
    assert not path.exists()


def test_down_of_a_student_whose_label_was_changed_fails(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lab is up under the old label, so it must not be reported as down."""
    create(folder, "Nom\nAdele\nZoe\n")
    path = folder / "classes/tp1.yaml"
    path.write_text(path.read_text().replace("label: adele", "label: ada"))
    row = runner.Row("ada", "tp1-ada")
    with pytest.raises(errors.BadInputError, match="tp1-adele belongs to nobody here"):
        class_runs._down(row, object(), strays=["tp1-adele"])
    assert "was down" == class_runs._down(row, object())


def test_reset_that_lxd_refuses_starts_the_server_again() -> None:
    seen: list[object] = []

    class Refusing:
        def change(self, _method: str, _path: str, body: dict[str, Any], **_more: object) -> None:
            seen.append(body)
            if "restore" in body:
                raise errors.DaemonError("LXD refused: no such snapshot")

    lxd = Refusing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_get", lambda *_: {"status": "Running", "config": {}})
        patch.setattr(snapshots, "_rename_before_reset", lambda *_: "start")
        patch.setattr(snapshots, "_keep", lambda *_: {})
        server = snapshots.Server(
            "zoe", "tp1-zoe", "yuno1", "grappe-zoe", "10.64.1.10", False, True
        )
        with pytest.raises(errors.DaemonError):
            snapshots.reset(
                object(), lxd, server, snapshots.Snapshot("start", dt.datetime.now(tz=dt.UTC))
            )
    assert [{"action": "stop", "force": True}, {"restore": "start"}, {"action": "start"}] == seen


@pytest.mark.parametrize(
    ("here", "state", "ended", "words"),
    [
        (True, "running", True, "up"),
        (True, "stopped", True, "asleep"),
        (True, "running", False, "its `up` did not end"),
        (False, "running", True, "up; no stack file"),
        (True, None, False, "down"),
        (False, None, False, "no stack file"),
    ],
)
def test_status_is_read_from_state_and_stack_file(
    here: bool, state: str | None, ended: bool, words: str, tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By the state alone, without a host."""
    if here:
        files.path_of(tmp_path, "tp1-zoe").write_text("config: {}\n")
    monkeypatch.setattr(class_reports.stack, "folder", lambda: tmp_path)
    servers = [{"type": "x/lxd:Container", "inputs": {"state": state}}] if state else []
    stack = {"type": "pulumi:pulumi:Stack", "outputs": {"servers": [1]} if ended else {}}
    assert words == class_reports._state("tp1-zoe", [stack, *servers], servers)


# A server as LXD has it.
STOPPED: dict[str, Any] = {
    "status": "Stopped", "devices": {}, "ephemeral": False, "profiles": [], "description": "",
    "architecture": "x86_64",
}  # fmt: skip


@pytest.mark.parametrize("early", [True, False])
def test_reset_to_before_the_post_installation_is_undone(
    monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """Otherwise the first visitor could become its administrator; a later snapshot is kept."""
    lxd = fake.FakeLxd()
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10", post_installed=True)
    restored: list[str] = []

    def change(_method: str, _path: str, body: dict[str, Any], **_options: object) -> None:
        restored.extend([body["restore"]] if "restore" in body else [])

    monkeypatch.setattr(lxd, "change", change)
    monkeypatch.setattr(lxd, "get", lambda *_path, **_options: {**STOPPED, "config": {}})
    monkeypatch.setattr(snapshots, "_rename_before_reset", lambda _lxd, _server, name: name)
    monkeypatch.setattr(snapshots.postinstall, "is_installed", lambda *_words: not early)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    if not early:
        snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
        assert ["fresh"] == restored
        return
    with pytest.raises(errors.CommandError, match="--rebuild yuno1"):
        snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert ["fresh", snapshots.BEFORE_RESET] == restored
    free = dataclasses.replace(server, post_installed=False)
    snapshots.reset(None, lxd, free, to)  # type: ignore[arg-type]
    assert "fresh" == restored[-1]


@pytest.mark.parametrize(("runs", "started"), [(True, ["start"]), (False, [])])
def test_a_reset_starts_what_a_killed_one_stopped(
    monkeypatch: pytest.MonkeyPatch, runs: bool, started: list[str]
) -> None:
    """Where its stack wants it to run; one that is asleep stays so."""
    lxd = fake.FakeLxd()
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10", runs=runs)
    actions: list[str] = []

    def change(_method: str, _path: str, body: dict[str, Any], **_options: object) -> None:
        actions.extend([body["action"]] if "action" in body else [])

    monkeypatch.setattr(lxd, "change", change)
    monkeypatch.setattr(lxd, "get", lambda *_path, **_options: {**STOPPED, "config": {}})
    monkeypatch.setattr(snapshots, "_rename_before_reset", lambda _lxd, _server, name: name)
    monkeypatch.setattr(snapshots, "_wait", lambda *_words: None)
    to = snapshots.Snapshot("fresh", dt.datetime.now(tz=dt.UTC))
    snapshots.reset(None, lxd, server, to)  # type: ignore[arg-type]
    assert started == actions


def test_snapshot_of_a_missing_server_is_refused() -> None:
    """The error has the `up` that recreates the server."""
    server = snapshots.Server("zoe", "tp1-zoe", "yuno1", "p", "10.64.1.10")
    with pytest.raises(errors.CommandError, match="./lab up tp1-zoe recreates it"):
        snapshots.choose(fake.FakeLxd(), server, "fresh")


def test_lost_stack_file_gets_the_labs_id_and_password(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the state: with new ones the lab would be foreign, and its password unknown."""
    monkeypatch.setattr(environment, "STATE", folder / ".state")
    monkeypatch.setattr(environment, "apply", lambda: None)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "one")
    create(folder, "Nom\nZoe\n", post_install=True)
    path, secret = folder / "stacks/Pulumi.tp1-zoe.yaml", Passphrase.create()
    recorded = [
        {"type": "pulumi:pulumi:Stack"},
        {"type": "pulumi-python:dynamic/lxd:Container", "inputs": {"lab": "abcdefabcdef"}},
        {"type": "pulumi-python:dynamic/lxd:PostInstall", "inputs": {
            "lab": "abcdefabcdef", "password": {"ciphertext": secret.encrypt('"known one"')}}},
    ]  # fmt: skip
    whole = {"resources": recorded, "secrets_providers": {"state": {"salt": secret.salt}}}
    state = folder / ".state/.pulumi/stacks/grappe/tp1-zoe.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"version": 3, "checkpoint": {"latest": whole}}))
    path.unlink()
    create(folder, "Nom\nZoe\n", host="", workstation="")
    written = yaml.safe_load(path.read_text())
    assert "abcdefabcdef" == written["config"]["grappe:id"]
    sealed = written["config"]["grappe:password"]["secure"]
    assert "known one" == Passphrase(written["encryptionsalt"]).decrypt(sealed)


@pytest.mark.parametrize("name", ["", "../classes/tp1", "tp1/"])
def test_path_as_class_name_is_refused(folder: pathlib.Path, name: str) -> None:
    """In reading a class, and in creating one."""
    create(folder, "Nom\nZoe\n")
    with pytest.raises(errors.BadInputError, match="there is no class"):
        class_file.read(folder, name)
    with pytest.raises(errors.BadInputError, match="is not the name of a class"):
        create(folder, "Nom\nZoe\n", name=name)


def test_check_of_a_class_counts_who_is_down(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 is a finding, with its command; an error would be 2."""
    create(folder, ENGLISH)
    capsys.readouterr()
    assert class_reports.check("tp1", [], as_json=False) == 1
    told = capsys.readouterr()
    assert "is down    ./lab class up tp1 adele" in told.out
    assert "0 of 1 students ok." in told.out
    assert class_reports.check("tp1", [], as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["down"] == ["adele"]
