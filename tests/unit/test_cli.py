"""The `lab` commands, as far as they need no engine and no sandbox."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from cli import check, demo, enter, environment, labs, new, parser, progress, stack
from cli import sandbox as sandbox_commands
from core import errors
from engine import engine
from sandbox import layout, lifecycle

ROOT = pathlib.Path(__file__).parent.parent.parent
COMMANDS = ["demo", "test", "sandbox", "env", "new", "up", "down", "preview", "forget", "rename", "remove", "card",
            "check", "top", "graph", "explain", "ssh", "doctor", "bench", "mutate", "campaign", "class"]  # fmt: skip


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]], ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    """On standard output, with exit status 0."""
    done = lab(*command, "--help")
    assert (0, "") == (done.returncode, done.stderr)
    assert "usage: ./lab" in done.stdout


def test_version_names_grappe_python_and_pulumi() -> None:
    """For bug reports: with Grappe's commit."""
    done = lab("--version")
    assert 0 == done.returncode
    assert re.fullmatch(
        r"grappe \d+\.\d+\.\d+ \(\S+\), Python 3\S+, pulumi 3\S+, .+\n", done.stdout
    )


@pytest.mark.parametrize(
    "command",
    [
        "doctor ssh://nobody:x",
        "top nobody:",
        "doctor nobody",
        "card nobody",
        "explain nobody",
        "class status nobody",
    ],
)
def test_error_of_a_json_command_is_json(command: str) -> None:
    done = lab(*command.split(), "--json")
    assert done.returncode in {1, 2}
    assert "nobody" in done.stderr
    assert "nobody" in json.loads(done.stdout)["error"]["brief"]


def test_class_exec_takes_the_command_after_two_dashes() -> None:
    """Its own options are not ours, whatever they are."""
    argv = ["class", "exec", "tp1", "--json", "--only", "a", "b:yuno1", "--", "ls", "--", "--json"]
    run, given = parser.parse(argv)
    assert "cli.class_exec:run" == run
    assert (["a", "b:yuno1"], True, "tp1") == (given["only"], given["as_json"], given["name"])
    assert ["ls", "--", "--json"] == given["command"]
    assert [] == parser.parse(["class", "exec", "tp1"])[1]["command"]


def commands() -> Iterator[tuple[str, str]]:
    """Return every command's words, and its `module:function`."""
    for name, command in parser.COMMANDS.items():
        if isinstance(command, parser.Group):
            yield from ((f"{name} {each}", run) for each, (run, _text) in command.commands.items())
        else:
            yield name, command[0]


@pytest.mark.parametrize(("words", "run"), list(commands()))
def test_command_function_takes_its_options(words: str, run: str) -> None:
    """Each argument of the command line is one of the function's, or of the class it fills."""
    module, _, function = run.partition(":")
    code = importlib.import_module(module)
    made = argparse.ArgumentParser(words)
    getattr(code, f"{function}_options", lambda _parser: None)(made)
    given = {action.dest for action in made._actions} - {"help"} | {*made._defaults}
    takes = dict(inspect.signature(getattr(code, function)).parameters)
    rest = [each for each in takes.values() if each.kind is each.VAR_KEYWORD]
    filled = next(
        (
            getattr(code, each)
            for each in ("Request", "Show", "Sizes", "Extent")
            if rest and hasattr(code, each)
        ),
        None,
    )
    fields = {each.name for each in dataclasses.fields(filled)} if filled else set()
    assert given == {*takes, *fields} - {each.name for each in rest}


def test_full_disk_is_reported_without_a_traceback() -> None:
    argv = [sys.executable, "-m", "cli", "class", "status", "nobody", "--json"]
    with pathlib.Path("/dev/full").open("w") as full:
        done = subprocess.run(
            argv, cwd=environment.ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert 1 == done.returncode
    assert "error: the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_command_line_exits_2() -> None:
    """A command that fails exits 1."""
    assert 2 == lab("frobnicate").returncode
    done = lab("up", "nobody-has-this-stack")
    assert 1 == done.returncode
    assert "./lab new nobody-has-this-stack" in done.stderr


def test_lab_new_refuses_before_it_writes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All mistakes at once, and no file."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    with pytest.raises(errors.BadInputError) as refusal:
        new.new(new.Request("bob", "nowhere", 9999, domain="x y"))
    assert "3 mistakes, nothing was changed" in str(refusal.value)
    with pytest.raises(errors.BadInputError) as refusal:
        new.new(new.Request("bob", "ssh://lab", 9, domain="bad", login="admin", post_install=True))
    assert "2 mistakes, nothing was changed" in str(refusal.value)
    with pytest.raises(errors.BadInputError, match="one of the two"):
        new.new(new.Request("lab1", "ssh://lab", lab_host=True, recipe="standin"))
    with pytest.raises(errors.BadInputError, match="keeps for itself or the system"):
        new.new(new.Request("bob", "ssh://lab", 9, pairs=["login=admin"]))
    with pytest.raises(errors.BadInputError, match="leave --post-install out"):
        new.new(new.Request("lab1", "ssh://lab", lab_host=True, post_install=True))
    assert [] == list((tmp_path / "stacks").iterdir())


def test_set_takes_any_setting_of_a_stack_file() -> None:
    """The value is YAML; a key that has an option of its own, and unreadable YAML, are refused."""
    pairs = ["language=fr", "servers=[{name: web, port: 22500}]", "grappe:names=", "adopt=true"]
    wanted = {
        "language": "fr",
        "servers": [{"name": "web", "port": 22500}],
        "names": None,
        "adopt": True,
    }
    assert wanted == new.settings_of(pairs, ("host",))
    for pair, words in (("host=local:", "host cannot be set here"), ("language", "is not KEY=VALUE"),
                        ("servers=[", "cannot be read"), ("limits={cpu: 010}", "octal number 8"),
                        ("config={user.until: 2026-09-01}", "in quotes"),
                        ("config={user.c: 2e3}", "is the number 2000"),
                        ("password=hunter22", r"--set password=\.\.\. would be in plain")):  # fmt: skip
        with pytest.raises(errors.BadInputError, match=words):
            new.settings_of([pair], ("host",))
    with pytest.raises(errors.BadInputError, match="(?s)host cannot.*id cannot"):
        new.settings_of(["host=x", "image=a", "id=b"], ("host", "id"))


GOOD_SECRET = "v1:ncByjNhlu4nZ9l0S:4aNthNXy+N0U4HaBM+BzUxBaZNSAAQ=="


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (GOOD_SECRET, True),
        ("v1:ncByjNhlu4nZ9l0S:4aNthNXy+N0U4HaBM+Bz", False),
        ("v1:ncByjNhlu4nZ9l0S:4aN", False),
        ("v1:ncByjNhlu4nZ9l0S", False),
        ("a password", False),
        ("", False),
        ("5", False),
        ("[a]", False),
    ],
)
def test_a_truncated_secret_is_refused_with_its_key(
    text: str, whole: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine would say `illegal base64 data`; a service's own format is not judged."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("config: {}\n")
    path = tmp_path / "stacks" / "Pulumi.bob.yaml"
    salt = f"encryptionsalt: v1:AAAAAAAAAAA=:{GOOD_SECRET}\n"
    path.write_text(f"config:\n  grappe:password:\n    secure: {text}\n{salt}")
    with nullcontext() if whole else pytest.raises(errors.BadInputError) as refusal:
        stack._demand_whole_secrets("bob")
    if not whole:
        assert "grappe:password cannot be decrypted" in str(refusal.value)
        assert "pulumi config set --secret grappe:password -s bob" in str(refusal.value)
    kept = path.read_text().replace(salt, "")
    if whole:
        path.write_text(kept)
        with pytest.raises(errors.BadInputError, match="its line encryptionsalt is missing"):
            stack._demand_whole_secrets("bob")
        path.write_text(f"{kept}encryptionsalt: foo\n")
        with pytest.raises(errors.BadInputError, match="its line encryptionsalt is cut off"):
            stack._demand_whole_secrets("bob")
        path.write_text(kept)
        monkeypatch.setattr(stack, "salt_of", lambda _name: "v1:known")
        with pytest.raises(errors.BadInputError, match="encryptionsalt: v1:known"):
            stack._demand_whole_secrets("bob")
    path.write_text(f"secretsprovider: awskms://x\nencryptedkey: eA==\n{kept}")
    stack._demand_whole_secrets("bob")


class Stack:
    """A stack that counts how often its lock was cleared."""

    name = "bob"
    cancelled = 0

    def cancel(self) -> None:
        """Clear the lock."""
        self.cancelled += 1


@pytest.mark.parametrize(
    ("pid", "hostname", "cleared"),
    [
        (2**22 + 1, socket.gethostname(), 1),
        (os.getpid(), socket.gethostname(), 0),
        (2**22 + 1, "another-machine", 0),
    ],
    ids=["of a process that is gone", "of a process that lives", "of another machine"],
)
def test_only_the_lock_of_a_dead_run_is_cleared(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, pid: int, hostname: str, cleared: int
) -> None:
    """A run that goes on keeps its lock."""
    monkeypatch.setattr(environment, "STATE", tmp_path)
    monkeypatch.setattr(stack, "LAST_SECONDS", 0)
    monkeypatch.setattr(stack, "ENDING_SECONDS", 0)
    folder = tmp_path / ".pulumi/locks/organization/grappe/bob"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(json.dumps({"pid": pid, "hostname": hostname}))
    held = Stack()
    lives = pid == os.getpid()
    with pytest.raises(errors.GrappeError, match="under way") if lives else nullcontext():
        stack.ready(held)  # type: ignore[arg-type]
    assert cleared == held.cancelled


def test_lock_in_a_folder_of_two_machines_of_one_name_stays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may live on the other one."""
    monkeypatch.setattr(environment, "STATE", tmp_path)
    monkeypatch.setattr(stack, "LAST_SECONDS", 0)
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines/another").write_text(socket.gethostname())
    (tmp_path / "machine-id").write_text("mine\n")
    monkeypatch.setattr(stack, "MACHINE_ID", tmp_path / "machine-id")
    held = Stack()
    stack.ready(held)  # type: ignore[arg-type]
    folder = tmp_path / ".pulumi/locks/organization/grappe/bob"
    folder.mkdir(parents=True)
    lock = json.dumps({"pid": 2**22 + 1, "hostname": socket.gethostname()})
    (folder / "1.json").write_text(lock)
    with pytest.raises(errors.GrappeError, match="pulumi cancel -s bob"):
        stack.ready(held)  # type: ignore[arg-type]
    assert not held.cancelled
    (tmp_path / "machines/another").write_text("another-name")
    stack.ready(held)  # type: ignore[arg-type]
    assert 1 == held.cancelled


def test_taint_of_the_preflight_is_dropped(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine checks a tainted resource without its past; then no removed server is a loss."""
    monkeypatch.setattr(environment, "STATE", tmp_path)
    names = (("preflight", "lxd:Preflight"), ("yuno1", "lxd:Container"))
    made = [{"urn": f"urn::{name}", "type": f"pulumi-python:dynamic/{kind}", "taint": True}
            for name, kind in names]  # fmt: skip
    state = {"deployment": {"resources": made}}
    path = tmp_path / ".pulumi/stacks/grappe/bob.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"checkpoint": {"latest": state["deployment"]}}))
    replaced: list[dict[str, Any]] = []

    class Tainted(Stack):
        def export(self) -> dict[str, Any]:
            return state

        replace = staticmethod(replaced.append)

    stack.ready(Tainted())  # type: ignore[arg-type]
    ((preflight, server),) = (each["deployment"]["resources"] for each in replaced)
    assert ("taint" not in preflight, server["taint"]) == (True, True)


def test_a_run_that_ends_by_itself_is_waited_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine of a killed process removes its lock within seconds."""
    monkeypatch.setattr(environment, "STATE", tmp_path)
    lock = tmp_path / ".pulumi/locks/organization/grappe/bob/1.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": os.getpid(), "hostname": socket.gethostname()}))
    threading.Timer(0.3, lock.unlink).start()
    held = Stack()
    stack.ready(held)  # type: ignore[arg-type]
    assert not held.cancelled


@pytest.mark.parametrize("name", ["", "..", "a/b", "../..", "A", "a b"])
def test_invalid_sandbox_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of that name are removed as root."""
    monkeypatch.setenv("GRAPPE_SANDBOX", name)
    with pytest.raises(errors.BadInputError, match="is not the name of a sandbox"):
        sandbox_commands.chosen()


def test_missing_sandbox_error_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`./lab sandbox up`."""
    with pytest.raises(errors.HostError, match="./lab sandbox up"):
        lifecycle.enter(layout.Layout("grappe-nowhere"), "host", [])


def test_progress_that_is_piped_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """No escape sequence, one line a step, the mark says how it ended."""
    with progress.step("image") as step:
        step.report("half way")
    with pytest.raises(ValueError, match="x"), progress.step("engine"):
        raise ValueError("x")
    out, err = capsys.readouterr()
    assert "" == out
    assert "\x1b" not in err
    first, second, third = err.splitlines()
    assert first.startswith("… image")
    assert second.startswith("✓ image")
    assert third.startswith("✗ engine")


def test_a_configuration_is_read_without_the_engine(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults and texts as the engine gives them; of a secret only that it exists."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "stacks").mkdir()
    declared = (ROOT / "Pulumi.yaml").read_text()
    # A teacher's own default for all.
    (tmp_path / "Pulumi.yaml").write_text(declared.replace("default: grappe.test", "default: a.b"))
    (tmp_path / "stacks/Pulumi.zoe.yaml").write_text(
        "config:\n  grappe:number: 7\n  grappe:adopt: true\n  grappe:login:\n"
        "  grappe:servers: [{name: a}]\n  grappe:password: {secure: v1:x}\n"
    )
    found = labs._config("zoe")
    assert {
        "grappe:number": ("7", False), "grappe:adopt": ("true", False), "grappe:login": ("", False),
        "grappe:servers": ('[{"name": "a"}]', False), "grappe:password": (labs.SECRET, True),
        "grappe:domain": ("a.b", False),
    }.items() <= found.items()  # fmt: skip


@pytest.mark.parametrize(
    ("line", "names"),
    [("class up tp --jobs 2 zoe", ["zoe"]), ("class up tp adele --jobs 2 zoe bob",
     ["adele", "zoe", "bob"]), ("class reset tp zoe:a --to start bob", ["zoe:a", "bob"])],
)  # fmt: skip
def test_students_may_follow_an_option(line: str, names: list[str]) -> None:
    """A user adds an option to a command line, then a student."""
    _run, given = parser.parse(line.split())
    assert names == given["who" if "who" in given else "students"]


@pytest.mark.parametrize(
    ("line", "words"),
    [("class up tp --job2 zoe", "unrecognized arguments: --job2"),
     ("class exec tp true", "the command follows --"), ("check alice bob", "arguments: bob"),
     ("bench contest --rounds 2 bob", "arguments: bob"), ("graph alice bob", "arguments: bob"),
     ("class exec tp --timeout 0 -- true", "0 is not a number from 1 on")],
)  # fmt: skip
def test_unknown_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    """With exit status 2, as argparse does."""
    with pytest.raises(SystemExit, match="2"):
        parser.parse(line.split())
    assert words in capsys.readouterr().err


def test_a_lost_passphrase_is_not_replaced(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one could not decrypt the stack files; the error names them."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / ".state").mkdir()
    path = tmp_path / ".state/passphrase"
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "PASSPHRASE", path)
    file = tmp_path / "stacks/Pulumi.zoe.yaml"
    file.write_text("config: {}\nencryptionsalt: v1:abc=\n")
    with pytest.raises(errors.BadInputError, match="Pulumi.zoe.yaml were encrypted with it"):
        environment._passphrase()
    assert not path.exists()
    file.write_text("config: {}\n")
    assert environment._passphrase().read_text().strip()
    assert [path] == list(path.parent.iterdir())
    assert 0o600 == path.stat().st_mode & 0o777


def test_proxy_is_bypassed_on_loopback(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A school's `http_proxy` serves no connection between the engine and our program."""
    monkeypatch.setattr(environment, "STATE", tmp_path / ".state")
    found = engine.Engine(None, "3.0.0", "on PATH")
    monkeypatch.setattr(engine, "ensure", lambda _report: found)
    monkeypatch.setattr(environment, "_passphrase", lambda: tmp_path / "passphrase")
    assert "127.0.0.1" in environment.prepare(lambda _text: None)["no_grpc_proxy"].split(",")


def test_two_first_runs_have_one_passphrase(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run takes the file that the first has created meanwhile."""
    (tmp_path / "stacks").mkdir()
    path = tmp_path / "passphrase"
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "PASSPHRASE", path)
    monkeypatch.setattr(environment, "_demand_nothing_encrypted", lambda: path.write_text("first"))
    assert "first" == environment._passphrase().read_text()


@pytest.mark.parametrize(
    ("types", "answer"),
    [
        ([], None),
        (["pulumi:pulumi:Stack", "grappe:index:StudentLab"], None),
        # Its preflight refused it.
        (["pulumi:providers:pulumi-python", "pulumi-python:dynamic:Preflight"], None),
        (["pulumi:pulumi:Stack", "pulumi-python:dynamic/lxd:Network"], "the `up` of zoe did not"),
    ],
)
def test_an_unfinished_up_is_an_error_of_every_check(
    monkeypatch: pytest.MonkeyPatch, types: list[str], answer: str | None
) -> None:
    """A check of all passes over labs that are down, not over half-made ones."""
    down = labs.Lab("zoe", None, [])  # type: ignore[arg-type]
    monkeypatch.setattr(labs, "load", lambda _name: down)
    found = [{"type": each, "custom": not each.startswith("grappe:")} for each in types]
    monkeypatch.setattr(stack, "recorded", lambda _name: found)
    if answer is None:
        assert ([], []) == check.check_lab("zoe", skip_others=True)
        answer = "zoe is down"
    else:
        with pytest.raises(errors.BadInputError, match=answer):
            check.check_lab("zoe", skip_others=True)
    with pytest.raises(errors.BadInputError, match=answer):
        check.check_lab("zoe", skip_others=False)


def test_stack_with_another_spelling_is_suggested(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.alice.yaml").touch()
    monkeypatch.setattr(stack, "folder", lambda: tmp_path)
    with pytest.raises(errors.BadInputError) as caught:
        stack.select("Alcie")
    assert str(caught.value.do).startswith("did you mean alice? A new one: ")


@pytest.mark.parametrize("down", [True, False])
def test_end_of_the_demo_asks_for_other_labs_of_its_sandbox(
    monkeypatch: pytest.MonkeyPatch, down: bool
) -> None:
    """It would orphan their states, and delete their content."""
    monkeypatch.setattr(demo.commands, "labs_in", lambda _layout: ["alice", demo.NAME])
    monkeypatch.setattr(demo.lifecycle, "status", lambda _layout: SimpleNamespace(up=True))
    asked: list[str] = []

    def refuse(question: str, *, yes: bool) -> bool:
        asked.append(question)
        return yes

    done: list[str] = []
    monkeypatch.setattr(demo.progress, "confirm", refuse)
    monkeypatch.setattr(demo.stack, "file_of", lambda _name: pathlib.Path("/nowhere"))
    monkeypatch.setattr(demo.demo_host, "forget", lambda: None)
    monkeypatch.setattr(demo.down, "remove_files", done.append)
    monkeypatch.setattr(demo.commands, "down", lambda: 0)
    assert (0 if down else 1) == demo._down(layout.Layout("x"), yes=down)
    assert ["The demo's sandbox goes, and with it all of alice. Go on?"] == asked
    assert bool(done) is down


def test_ssh_wants_a_user_where_nobody_knows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A YunoHost that is post-installed by hand has the users that were created then."""
    spec = SimpleNamespace(post_install=False, keys=(), workstation="none")
    cards = [{"name": "yuno1", "ssh": {"user": "admin", "host": "h", "port": 22222}}]
    monkeypatch.setattr(labs, "load_up", lambda _name: labs.Lab("luc", spec, cards))  # type: ignore[arg-type]
    ran: list[list[str]] = []
    monkeypatch.setattr(enter.os, "execvp", lambda _program, argv: ran.append(argv))
    with pytest.raises(errors.BadInputError) as caught:
        enter.run("luc", "yuno1", [])
    assert "./lab ssh luc USER@yuno1" in str(caught.value.do)
    enter.run("luc", "zoe@yuno1", ["--", "id"])
    assert [["ssh", "-p", "22222", "zoe@h", "id"]] == ran


def test_stranger_is_found_whatever_user_the_card_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card of an `up` before the password names `grappe-student`, whom the server knows."""
    spec = SimpleNamespace(project="p", post_install=True, login="luc")
    cards = [{"name": "yuno1", "ssh": {"user": "grappe-student"}}]
    made = labs.Lab("luc", spec, cards)  # type: ignore[arg-type]
    known = {"grappe-student"}
    for name, answer in (
        ("stage_of", check.model.Stage.DONE), ("inspect", ([], frozenset())), ("domain_of", "a.test"),
        ("is_installed", True),
    ):  # fmt: skip
        monkeypatch.setattr(check.postinstall, name, lambda *_words, answer=answer: answer)
    monkeypatch.setattr(check.postinstall, "has_user", lambda *words: words[-1] in known)
    monkeypatch.setattr(check.postinstall.files, "read", lambda *_words: None)
    found = check._installed(None, None, made, "yuno1")  # type: ignore[arg-type]
    assert (True, "luc") == (found["taken"], found["userless"])
    known.add("luc")
    found = check._installed(None, None, made, "yuno1")  # type: ignore[arg-type]
    assert (False, "") == (found["taken"], found["userless"])
