"""A class: its file, its stacks, and the commands on them."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from classroom import class_file, runner, sleep
from cli import class_new, class_reports, class_runs, class_snapshots, environment, new, rename
from cli import classroom as commands
from core import errors
from engine.passphrase import Passphrase
from engine.stack import Stack
from stacks import files, neighbours

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


@pytest.mark.parametrize("is_up", [True, False])
def test_lab_of_a_former_student_goes_to_no_namesake(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    is_up: bool,
) -> None:  # fmt: skip
    """A label alone identifies nobody; a file of a lab that is down is reused, aloud."""
    heads = "Nom,Prénom,Mail\n"
    create(folder, f"{heads}Dupont,Adèle,a@x\nPetit,Léo,l@x\n")
    path = folder / "classes/tp1.yaml"
    entries = yaml.safe_load(path.read_text())
    entries["students"] = [each for each in entries["students"] if each["label"] != "adele"]
    path.write_text(yaml.safe_dump(entries))
    before = path.read_text()
    monkeypatch.setattr(class_new.classes, "is_up", lambda _stack: is_up)
    joined = f"{heads}Durand,Adèle,other@x\nPetit,Léo,l@x\n"
    if is_up:
        with pytest.raises(errors.BadInputError, match="would get the lab of somebody") as caught:
            create(folder, joined, host="", workstation="")
        assert "restore the entry in classes/tp1.yaml" in str(caught.value.do)
        assert "./lab remove tp1-adele" in str(caught.value.do)
        assert before == path.read_text()
    else:
        create(folder, joined, host="", workstation="")
        assert "Adèle Durand gets stacks/Pulumi.tp1-adele.yaml" in capsys.readouterr().err


def test_number_of_a_student_without_a_stack_file_is_taken(folder: pathlib.Path) -> None:
    """`class new` writes the file again, with the number of the class file."""
    create(folder, "Nom,Prénom\nDupont,Adèle\n")
    (folder / "stacks/Pulumi.tp1-adele.yaml").unlink()
    (found,) = neighbours.conflicts("erin", {"host": "ssh://lab", "number": 1}, new.of_classes())
    assert "1 is tp1-adele's, by classes/tp1.yaml. Free: 2" in found.reason
    create(folder, "Nom,Prénom\nPetit,Léo\n", name="tp2")
    assert 2 == stack_of(folder, "tp2-leo")["grappe:number"]


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
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgusZwmbhW7VjW8xrjTaoQ0xIgSXuqiU4Li4SHc9xe6"
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


def test_down_asks_before_a_lab_goes_that_an_old_backup_lacks(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored as the error of a cut-off state says: runs wrote it, and it has no resource."""
    lose_state(folder, monkeypatch, empty=True)
    for name in ("tp1-adele", "tp1-zoe"):
        path = class_runs.stack.state_of(name).path
        whole = json.loads(path.read_text())
        whole["checkpoint"]["latest"] = {"manifest": {"time": "2026-11-29T08:00:00Z"}}
        path.write_text(json.dumps(whole))
    things = {"tp1-zoe": ["container yuno1"], "tp1-adele": []}
    monkeypatch.setattr(class_runs.downs, "leftovers_of", lambda name: things[name])
    with pytest.raises(errors.BadInputError, match="Take 1 labs of tp1 down.*content of zoe"):
        class_runs.down("tp1", [], yes=False, as_json=False, jobs=2)


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


def test_newer_roster_with_other_spellings_has_the_same_students(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words in another order, without accents, or with an accent of its own."""
    create(folder, "Nom,Prénom\nDupont,Adèle\nMartin,Zoé\n")
    again = {"host": "", "workstation": ""}
    create(folder, "Nom\nADELE DUPONT\nMartin Zoe\u0301\n", **again)
    assert "not in this roster" not in capsys.readouterr().err
    assert ["adele", "zoe"] == [each.label for each in class_file.read(folder, "tp1").students]
    # Two people whose names differ by their order alone.
    create(folder, "Nom,Prénom\nDupont,Adèle\nAdèle,Dupont\nMartin,Zoé\n", **again)
    assert 3 == len(class_file.read(folder, "tp1").students)
    with pytest.raises(errors.BadInputError, match=r"line 3.* is Zoé Martin again"):
        create(folder, "Nom\nMartin Zoe\nZoe MARTIN\n", **again)


def test_roster_is_relative_to_where_the_command_was_typed(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "mine.csv").write_text("Nom\nZoe\n")
    monkeypatch.setenv("GRAPPE_FROM", str(folder / "here"))
    create(folder, "", roster="mine.csv")
    assert ["zoe"] == [each.label for each in class_file.read(folder, "tp1").students]


def test_twins_share_an_address_of_their_parents(folder: pathlib.Path) -> None:
    roster = "Nom,Prénom,Mail\nDupont,Adèle,p@x\nDupont,Zoé,p@x\n"
    create(folder, roster)
    create(folder, f"{roster}Dupont,Max,p@x\n", host="", workstation="")
    labels = [each.label for each in class_file.read(folder, "tp1").students]
    assert ["adele", "zoe", "max"] == labels


@pytest.mark.parametrize(
    ("before", "after"),
    [("Иван Petrov", "Пётр Petrov"), ("王 Li", "张 Li"), (f"{'a' * 50} b", f"{'a' * 50} c")],
)
def test_another_name_is_another_student(folder: pathlib.Path, before: str, after: str) -> None:
    """Whatever letters it has, and however long it is."""
    create(folder, f"Nom\n{before}\n")
    create(folder, f"Nom\n{after}\n", host="", workstation="")
    assert 2 == len(class_file.read(folder, "tp1").students)


def test_students_of_a_class_have_ports_of_the_relay_of_their_own(folder: pathlib.Path) -> None:
    create(folder, "Nom\nAda\nBob\n", relay="ssh://relay")
    listens = [
        [each["listen"] for each in stack_of(folder, f"tp1-{name}")["grappe:tunnel"]["forwards"]]
        for name in ("ada", "bob")
    ]
    assert [[10000, 10001], [10002, 10003]] == listens
    # A class on another lab host has the same numbers.
    create(folder, "Nom\nCleo\n", name="tp2", host="ssh://other", relay="ssh://relay")
    tunnel = stack_of(folder, "tp2-cleo")["grappe:tunnel"]
    assert [17998, 17999] == [each["listen"] for each in tunnel["forwards"]]


def test_setting_that_all_students_would_share_is_refused(folder: pathlib.Path) -> None:
    """A port of the host, a domain: only one lab may have it."""
    servers = "servers=[{name: a, port: 2222, domain: shop.test}]"
    with pytest.raises(errors.BadInputError) as refused:
        create(folder, "Nom\nAda\nBob\n", pairs=[servers])
    assert "the port 2222 is tp1-ada's" in str(refused.value)
    assert "the domain shop.test is tp1-ada's" in str(refused.value)
    assert [] == list((folder / "stacks").iterdir())


def test_set_does_not_override_an_option(folder: pathlib.Path) -> None:
    with pytest.raises(errors.BadInputError, match="image cannot be set here"):
        create(folder, "Nom\nAdele\n", image="a", pairs=["image="])


def test_ephemeral_server_does_not_sleep(tmp_path: pathlib.Path) -> None:
    """It would be deleted when it stops."""
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text("config:\n  grappe:servers:\n  - name: a\n    ephemeral: true\n  - name: b\n")
    assert sleep.put(path, asleep=True)
    servers = yaml.safe_load(path.read_text())["config"]["grappe:servers"]
    assert [None, "stopped"] == [each.get("state") for each in servers]
    assert ["a"] == sleep.ephemeral(path)


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

    written: list[tuple[str, str]] = []
    monkeypatch.setattr(class_runs, "_up", fail)
    monkeypatch.setattr(class_runs.stack, "select", lambda _name: None)
    monkeypatch.setattr(class_runs.labs, "demand_valid", lambda _name: None)
    # Whole or not at all: the disk may be full.
    monkeypatch.setattr(class_runs.stack, "write", lambda *words: written.append(words))
    with pytest.raises(errors.CommandError):
        class_runs._set_asleep(row, object(), asleep=True)
    assert "state: stopped" in seen[0]
    assert [("tp1-zoe", "config:\n  grappe:servers: [{name: yuno1}]\n")] == written


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


@pytest.mark.parametrize("name", ["b b", ""])
def test_rename_refuses_a_bad_name_before_it_writes(folder: pathlib.Path, name: str) -> None:
    create(folder, "Nom\nZoe\n")
    before = stacks_of(folder)
    with pytest.raises(errors.BadInputError):
        rename.run("tp1-zoe", name)
    assert before == stacks_of(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bob_2", "is not a name"),
        ("ADELE", "is adele's"),
        ("x.y", "is not a name"),
        ("bob", ""),
        ("b" * 57, "at most 56"),
    ],
)
def test_rename_of_a_lab_that_is_down_demands_a_students_name(name: str, words: str) -> None:
    """The new name becomes the student's: one that no other stack file has."""
    adele = {"adele": {"host": "ssh://lab", "number": 9}}
    config = {"host": "ssh://lab", "number": 1, "student": name}
    if not words:
        rename._demand_free(name, config, adele)
        return
    with pytest.raises(errors.BadInputError, match=words) as refused:
        rename._demand_free(name, config, adele)
    assert "grappe:student" in str(refused.value)


def test_down_of_a_copied_stack_file_deletes_nothing(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id leads to the other's lab on the host; the other itself goes down as ever."""
    lose_state(folder, monkeypatch, empty=False)
    text = (folder / "stacks/Pulumi.tp1-zoe.yaml").read_text()
    (folder / "stacks/Pulumi.copy.yaml").write_text(text)
    searched: list[str] = []
    monkeypatch.setattr("providers.leftovers.driver.find", lambda *_: searched.append("") or [])
    with pytest.raises(errors.BadInputError, match="is tp1-zoe's too") as refused:
        class_runs.downs.leftovers_of("copy")
    assert "remove its line grappe:id" in refused.value.do
    assert [] == searched
    lab = {"type": "pulumi-python:dynamic/lxd:Container", "inputs": {
        "lab": yaml.safe_load(text)["config"]["grappe:id"], "host": "ssh://lab", "name": "yuno1"}}  # fmt: skip
    monkeypatch.setattr(class_runs.downs.stack, "resources", lambda _selected: [lab])
    assert [] == class_runs.downs.leftovers_of("tp1-zoe")
    assert searched


def test_texts_of_students_are_as_written(folder: pathlib.Path) -> None:
    """YAML would make 7, 1.1, 2000 and a date of them; a list is refused under its index."""
    path = class_file.path_of(folder, "tp9")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "host: ssh://lab\nstudents:\n"
        "- {name: A, label: a, number: 1, id: 007, group: 1.10}\n"
        "- {name: 2e3, label: b, number: 2, id: 2026-09-01}\n"
    )
    first, second = class_file.read(folder, "tp9").students
    assert ("007", "1.10") == (first.id, first.group)
    assert ("2e3", "2026-09-01") == (second.name, second.id)
    path.write_text(
        "host: ssh://lab\nstudents:\n- {name: A, label: a}\n- {name: [B], label: b b, number: 2}\n"
    )
    with pytest.raises(errors.BadInputError) as found:
        class_file.read(folder, "tp9")
    lines = str(found.value.seen).splitlines()
    assert ["students[0].number", "students[1].name", "students[1].label"] == [
        line.split()[0] for line in lines
    ]
