"""The arguments of a post-installation, by what the installed version says it takes."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from providers.lxd import job
from providers.lxd.postinstall import model

SPEC = model.PostInstallSpec(
    host="ssh://lab", owner="grappe/a", name="yuno1", project="grappe-a", container="yuno1",
    domain="yuno1.a.test", login="anna", password="correct horse",
)  # fmt: skip
# The options of each version, as its --help lists them.
V3 = "-h, --help\n-d DOMAIN, --domain DOMAIN\n-p PASSWORD, --password PASSWORD\n--ignore-dyndns\n"
V4 = V3 + "--force-password\n--force-diskspace\n"
V11 = V4 + "-u USERNAME, --username USERNAME\n-F FULLNAME, --fullname FULLNAME\n"
V12 = V11 + "--i-have-read-terms-of-services\n"
START = ["tools", "postinstall", "--domain", "yuno1.a.test"]
USER = ["--username", "anna", "--fullname", "Anna"]


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        (V3, ["--ignore-dyndns"]),
        (V4, ["--ignore-dyndns", "--force-diskspace"]),
        (V11, [*USER, "--ignore-dyndns", "--force-diskspace"]),
        (V12, [*USER, "--ignore-dyndns", "--force-diskspace", "--i-have-read-terms-of-services"]),
    ],
    ids=["3.x", "4.2", "11.1", "12.0.5"],
)
def test_it_is_given_what_it_takes(said: str, rest: list[str]) -> None:
    """And no more."""
    assert START + rest == model.arguments(said, SPEC)
    assert model.takes_user(said) is ("--username" in said)


def test_the_password_is_in_no_argv() -> None:
    """It is read from standard input; the program that LXD starts is a file."""
    made = model.job(V12, SPEC)
    assert "correct horse" not in made.script
    assert "correct horse\n" == made.stdin
    assert "correct horse" not in job.Hider(made)("it is correct horse.")


def test_what_is_refused() -> None:
    """The password's value is not shown."""
    bad = model.PostInstallSpec(
        host="ssh://lab", owner="grappe/a", name="yuno1", project="grappe-a", container="yuno 1",
        domain="x", login="A", password="a\nb",
    )  # fmt: skip
    told = {mistake.key: mistake.reason for mistake in bad.mistakes()}
    assert {"container", "domain", "login", "password"} == told.keys()
    assert "a\nb" not in told["password"]


def test_a_password_that_begins_with_a_dash_is_no_option(tmp_path: pathlib.Path) -> None:
    """As YunoHost's own argparse reads it."""
    program = tmp_path / "yunohost"
    program.write_text(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--password')\nprint(parser.parse_args().password)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", model._PROGRAM, str(program)], input="-tQy9k6zn3gjj7Ga\n",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ("-tQy9k6zn3gjj7Ga\n", "") == (done.stdout, done.stderr)
