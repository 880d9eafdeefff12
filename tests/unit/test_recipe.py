"""Recipes: what they are read into, and what is refused."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from core import problems
from stacks import recipe

GOOD = """\
description: a test
alias: test
base: {suite: bookworm}
environment: {A: "1"}
steps:
  - name: one
    files: [{path: /srv/a b, from: file, mode: "0755"}]
    script: one.sh
    environment: {B: "2"}
  - {name: two, run: [echo, "it's"]}
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of recipes with one in it."""
    home = tmp_path / "test"
    home.mkdir()
    (home / "recipe.yaml").write_text(GOOD)
    (home / "file").write_text("it's a $file\n")
    (home / "one.sh").write_text("echo one\n")
    return tmp_path


def test_a_recipe_is_read_whole(folder: pathlib.Path) -> None:
    """Files and scripts become the step's script; variables are merged."""
    read = recipe.read("test", folder)
    one, two = read.steps
    assert "printf '%s' 'it'\"'\"'s a $file\n' > '/srv/a b'" in one.script
    assert one.script.endswith("echo one\n")
    assert {"A": "1", "B": "2"} == one.environment
    assert "echo 'it'\"'\"'s'\n" == two.script
    assert read.starts_over


def test_recipe_hash_covers_what_makes_the_image(folder: pathlib.Path) -> None:
    """A word of a description does not change it; a byte of a file does."""
    before = recipe.read("test", folder).digest
    path = folder / "test" / "recipe.yaml"
    path.write_text(GOOD.replace("a test", "another test"))
    assert before == recipe.read("test", folder).digest
    (folder / "test" / "file").write_text("changed\n")
    assert before != recipe.read("test", folder).digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("alias: test", "alias: a b"), "is not an alias"),
        (("base: {suite: bookworm}", "base: {}"), 'base "nothing" is not one of server, metadata'),
        (("base: {suite: bookworm}", "base: {server: https://x}"), "Name an image of that server"),
        (("script: one.sh", "scirpt: one.sh"), "Did you mean script?"),
        (("script: one.sh", "script: two.sh"), "is not a file of the recipe's folder"),
        (("from: file", "from: elif"), "steps[0].files[0].from"),
        (("    script: one.sh\n", ""), "set one of the two"),
        (("environment: {A", "needs: [x]\nenvironment: {A"), "needs is not a setting"),
        (("    script: one.sh", "    script: one.sh\n    needs: [x]"), "is not a URL"),
        (("steps:", "on_failure: stop\nsteps:"), "is not one of go on, start over"),
        (("steps:", "alias: other\nsteps:"), "alias is there twice"),
        (("steps:", "1: x\nsteps:"), "1 is not a setting"),
        (("base: {suite: bookworm}", "base: {suite: 'book worm'}"), "is not the name of a suite"),
        (("base: {suite: bookworm}", "base: {suite: b, packages: [-x]}"), "name of a package"),
        (("base: {suite: bookworm}", "base: {suite: b, mirror: ftp//x}"), "is not a URL"),
        (("base: {suite: bookworm}", "base: {server: x, image: y}"), "is not a URL"),
        (("base: {suite: bookworm}", "base: &b {suite: *b}"), "it is not YAML"),
        (
            ('mode: "0755"', "mode: 0644"),
            'mode 0644 is the octal number 420: write "0644"',
        ),
        (('mode: "0755"', "mode: rwxr"), "is not a mode in octal"),
        (("from: file", "form: file"), "steps[0].files[0].from is missing"),
        (("    script: one.sh", "    script: one.sh\n    user: a b"), "a user of Debian's"),
        (("steps:", "environment2: {5: x}\nsteps:"), "Did you mean environment?"),
    ],
)
def test_recipe_refuses_with_file_key_and_remedy(
    folder: pathlib.Path, change: tuple[str, str], words: str
) -> None:
    """With the file, the key, the value and what would be right."""
    (folder / "test" / "recipe.yaml").write_text(GOOD.replace(*change))
    with pytest.raises(problems.Mistakes) as found:
        recipe.read("test", folder)
    assert words in str(found.value)
    assert "recipes/test/recipe.yaml: " in str(found.value)


def test_two_recipes_with_one_alias_are_refused(folder: pathlib.Path) -> None:
    """Each names the other."""
    other = folder / "other"
    other.mkdir()
    (other / "recipe.yaml").write_text("description: x\nalias: test\nbase: {suite: s}\nsteps: []\n")
    for name, rival in (("test", "other"), ("other", "test")):
        with pytest.raises(problems.Mistakes, match=f"is the alias of recipes/{rival} too"):
            recipe.read(name, folder)


@pytest.mark.parametrize("name", recipe.names())
def test_shipped_recipes_are_valid_and_say_where_they_ran(name: str) -> None:
    """What could not be run is marked as not run."""
    assert recipe.read(name).steps
    assert "tested: " in (recipe.FOLDER / name / "recipe.yaml").read_text()


@pytest.mark.parametrize("content", [b"!<arch>\ndebian\xff\xfe\x00\x01", b"text\n", b"a\0b", b""])
def test_file_content_arrives_unchanged(tmp_path: pathlib.Path, content: bytes) -> None:
    """Also binary files, such as packages."""
    target = tmp_path / "there"
    subprocess.run(["sh", "-c", f"{recipe._printing(content)} > {target}"], check=True)
    assert content == target.read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("    script: one.sh", "    script: one.sh\n    needs: ['http://[::1']"), "is not a URL"),
        (
            ("    script: one.sh", "    script: one.sh\n    needs: ['http://a:99999']"),
            "is not a URL",
        ),
        (("    script: one.sh", "    script: one.sh\n    needs: ['ftp://a']"), "is not a URL"),
        (("path: /srv/a b", "path: srv/a"), "steps[0].files[0].path"),
    ],
)
def test_invalid_urls_and_paths_are_refused(
    folder: pathlib.Path, change: tuple[str, str], words: str
) -> None:
    """Before the builder meets them."""
    (folder / "test" / "recipe.yaml").write_text(GOOD.replace(*change))
    with pytest.raises(problems.Mistakes) as found:
        recipe.read("test", folder)
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"echo one\r\n", "has Windows line endings"),
        (b"echo \xe9\n", "is not UTF-8 text"),
        (b"\xef\xbb\xbfecho one\n", "a byte order mark"),
        (b"echo \0\n", "a NUL"),
    ],
)
def test_script_that_no_shell_reads_is_refused(
    folder: pathlib.Path, content: bytes, words: str
) -> None:
    """An editor's line ends, another encoding, no text at all."""
    (folder / "test" / "one.sh").write_bytes(content)
    with pytest.raises(problems.Mistakes) as found:
        recipe.read("test", folder)
    assert words in str(found.value)


def test_recipe_in_another_encoding_is_refused(folder: pathlib.Path) -> None:
    """The error says that it is not YAML."""
    (folder / "test" / "recipe.yaml").write_bytes(GOOD.replace("a test", "été").encode("latin-1"))
    with pytest.raises(problems.Mistakes, match="it is not YAML"):
        recipe.read("test", folder)
