"""The golden image: built once, rebuilt when its recipe changes; labs follow on order only."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from hosts.host import Host
from tests.conftest import long
from tests.e2e.conftest import Client, ProjectCopy

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def golden(project: ProjectCopy) -> Iterator[ProjectCopy]:
    """A project with an image stack, up."""
    project.image("golden", recipe="standin", alias="golden")
    project.up("golden")
    yield project
    project.destroy("golden")


def test_preview_shows_every_step_of_a_new_image(project: ProjectCopy) -> None:
    """It lists the base image, the builder, every step and the image."""
    project.image("shown", recipe="standin", alias="shown")
    output = project.pulumi("preview", "-s", "shown")
    for line in ("Image shown-base", "Container build-standin", "Exec shown-command",
                 "Exec shown-web", "PublishedImage shown"):  # fmt: skip
        assert line in output


def test_second_up_does_not_rebuild_the_image(golden: ProjectCopy, lab_host: Host) -> None:
    """The second `up` changes nothing; the builder is stopped; the image has the recipe's hash."""
    output = golden.up("golden", "--expect-no-changes")
    assert "unchanged" in output
    image = golden.outputs("golden")["image"]
    shown = lab_host.run(["lxc", "image", "show", "golden"]).stdout
    assert f"grappe.recipe: {image['recipe']}" in shown
    listed = lab_host.run(["lxc", "list", "--project", "grappe-image-golden", "-f", "csv"]).stdout
    assert listed.startswith("build-standin,STOPPED")


@pytest.mark.long
def test_changed_recipe_rebuilds_servers_only_on_order(
    golden: ProjectCopy, client: Client, lab_host: Host
) -> None:
    """The alias moves when the new image is ready; a lab stays as it is until it is rebuilt."""
    golden.write("gina", 31, image="golden", servers=[{"name": "yuno1"}], workstation="none")
    golden.up("gina")
    before = golden.outputs("golden")["image"]
    step = golden.folder / "recipes" / "standin" / "install.sh"
    step.write_text(step.read_text() + "echo the changed line\n")

    output = golden.up("golden")
    assert re.search(r"build-standin web \| the changed line", output)
    after = golden.outputs("golden")["image"]
    assert before["fingerprint"] != after["fingerprint"]
    assert before["recipe"] != after["recipe"]
    fingerprints = lab_host.run(["lxc", "image", "list", "-f", "csv", "-c", "F"]).stdout
    assert after["fingerprint"] in fingerprints
    assert before["fingerprint"] not in fingerprints

    base = ["lxc", "config", "get", "yuno1", "volatile.base_image", "--project", "grappe-gina"]
    golden.up("gina", "--expect-no-changes")
    assert before["fingerprint"] == lab_host.run(base).stdout.strip()
    golden.lab("up", "gina", "--yes", "--rebuild")
    assert after["fingerprint"] == lab_host.run(base).stdout.strip()
    golden.up("gina", "--expect-no-changes")
    golden.destroy("gina")


FAILING = """\
description: a step that fails until somebody helps
alias: failing
base: {suite: bookworm, packages: [%s]}
on_failure: %s
steps:
  - {name: first, run: [sh, -c, "date +%%N > /srv/first"]}
  - {name: second, script: second.sh}
"""


@pytest.mark.parametrize("on_failure", ["go on", long("start over")])
def test_failed_step_keeps_the_builder(
    project: ProjectCopy, lab_host: Host, on_failure: str
) -> None:
    """The error has its last lines and a command to enter; the next run resumes or starts over."""
    standin = (project.folder / "recipes" / "standin" / "recipe.yaml").read_text()
    packages = re.search(r"packages: \[([^\]]+)\]", standin)
    assert packages
    folder = project.folder / "recipes" / "failing"
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(FAILING % (" ".join(packages[1].split()), on_failure))
    (folder / "second.sh").write_text("echo looking for help\ntest -e /srv/help\n")
    project.image("failing", recipe="failing", number=7)
    builder = ["lxc", "exec", "build-failing", "--project", "grappe-image-failing", "--"]

    output = project.up("failing", ok=False)
    assert "second exited with 1 in grappe-image-failing/build-failing" in output
    assert "looking for help" in output
    assert "lxc exec build-failing --project grappe-image-failing -- bash" in output
    stamp = lab_host.run([*builder, "cat", "/srv/first"]).stdout

    lab_host.run([*builder, "touch", "/srv/help"])
    project.up("failing", ok=on_failure == "go on")
    if on_failure == "go on":
        lab_host.run(["lxc", "start", "build-failing", "--project", "grappe-image-failing"])
    assert (stamp == lab_host.run([*builder, "cat", "/srv/first"]).stdout) is (
        on_failure == "go on"
    )
    project.destroy("failing")
    shutil.rmtree(folder)


BAD = {
    "an unknown key": ("stepz: []", "recipes/bad/recipe.yaml: stepz", "Did you mean steps?"),
    "an alias that is another recipe's": ("alias: standin", "alias", "of recipes/standin too"),
    "a script that is not there": (
        "steps: [{name: a, script: nope.sh}]", "steps[0].script", "is not a file of the recipe",
    ),
    "an address that is out of reach": (
        "steps: [{name: a, run: ['true'], needs: ['http://192.0.2.7']}]", "its step a needs",
        "does not reach: 192.0.2.7 port 80",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_preview_refuses_a_bad_recipe(project: ProjectCopy, case: str) -> None:
    """With its key, its value and what would be right."""
    line, *words = BAD[case]
    folder = project.folder / "recipes" / "bad"
    folder.mkdir(exist_ok=True)
    rest = {"description": "bad", "alias": "bad", "base": "{suite: bookworm}", "steps": "[]"}
    key = line.partition(":")[0]
    rest.pop(key, None)
    text = "".join(f"{name}: {value}\n" for name, value in rest.items())
    (folder / "recipe.yaml").write_text(f"{text}{line}\n")
    project.image("bad", recipe="bad", number=8)
    output = " ".join(project.pulumi("preview", "-s", "bad", ok=False).split())
    for word in words:
        assert word in output
    shutil.rmtree(folder)
