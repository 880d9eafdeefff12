"""The engine reads states and secrets that Grappe wrote without it."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest

from cli import new
from engine.passphrase import Passphrase
from engine.state import State
from tests.engine.conftest import PASSPHRASE

CONFIG = {"grappe:student": "zoe", "grappe:number": "7"}
PASSWORD = "c'est l'été: -\"\\$"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A project whose backend the engine has made."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / ".state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        "name: grappe\nruntime: python\nstackConfigDir: stacks\nbackend: {url: file://./.state}\n"
    )
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.chdir(tmp_path)
    pulumi("stack", "init", "first")
    return tmp_path


def pulumi(*argv: str) -> str:
    """Run the engine; return its output."""
    done = subprocess.run(["pulumi", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_engine_reads_a_state_that_we_made(folder: pathlib.Path) -> None:
    """It lists, configures and removes the stack; a second `create` changes nothing."""
    state = State(folder / ".state", "grappe", "zoe")
    assert state.create()
    (folder / "stacks/Pulumi.zoe.yaml").write_text(new.content(CONFIG))
    assert {"first", "zoe"} == {item["name"] for item in json.loads(pulumi("stack", "ls", "-j"))}
    pulumi("config", "set", "grappe:image", "other", "-s", "zoe")
    before = state.path.read_text()
    assert state.create()
    assert before == state.path.read_text()
    assert [state.path.name] == sorted(
        path.name for path in state.path.parent.iterdir() if path.name.startswith("zoe")
    )
    pulumi("stack", "rm", "--yes", "zoe")


def test_no_state_is_made_where_the_engine_has_no_backend(tmp_path: pathlib.Path) -> None:
    """The engine makes a new backend itself, with the version of its layout."""
    assert not State(tmp_path, "grappe", "zoe").create()
    assert [] == list(tmp_path.iterdir())


def test_the_engine_decrypts_a_password_that_we_encrypted(folder: pathlib.Path) -> None:
    """It accepts our salt, and encrypts another secret with it."""
    path = folder / "stacks/Pulumi.zoe.yaml"
    path.write_text(new.content(CONFIG, PASSWORD))
    assert PASSWORD not in path.read_text()
    State(folder / ".state", "grappe", "zoe").create()
    assert PASSWORD == pulumi("config", "get", "grappe:password", "-s", "zoe").removesuffix("\n")
    pulumi("config", "set", "--secret", "grappe:password", "another", "-s", "zoe")
    text = path.read_text()
    secret = Passphrase(text.rpartition("encryptionsalt: ")[2].strip())
    assert secret.decrypt(text.rpartition("secure: ")[2].split()[0]) == "another"
