"""`./lab class` with six students: up, check, exec, reset, sleep, keys, interrupts and down."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
from typing import Any

import pytest

from hosts import command, connections
from hosts.host import Host
from sandbox import layout
from tests.conftest import long
from tests.e2e.conftest import Client, ProjectCopy, inventory

pytestmark = pytest.mark.sandbox

ROSTER = """\
Nom;Prénom;Adresse de courriel
Dupont;Adèle;adele@example.org
Müller;Zoé;zoe@example.org
Martin;D'Artagnan;dart@example.org
Le Gall;Noé;noe@example.org
Petit;Jean-Pierre;jp@example.org
Roux;Zoé;zoe2@example.org
"""
LABELS = ["adele", "zoe-muller", "d-artagnan", "noe", "jean-pierre", "zoe-roux"]


@pytest.fixture(scope="module")
def before(sandbox: layout.Layout) -> dict[str, str]:
    """The host before the class."""
    return inventory(*map(connections.connect, (sandbox.host_url, sandbox.workstation_url)))


@pytest.fixture(scope="module")
def class_of_six(project: ProjectCopy, before: dict[str, str]) -> ProjectCopy:
    """A class of six that is up; the fixture `project` takes it down."""
    (project.folder / "roster.csv").write_bytes(ROSTER.encode("cp1252"))
    output = project.lab(
        "class", "new", "tp1", "--roster", "roster.csv", "--host", project.layout.host_url,
        "--image", "standin", "--workstation", project.layout.workstation_url,
    )  # fmt: skip
    assert "6 students, 6 of them new" in output
    assert "D'Artagnan Martin -> d-artagnan" in output
    project.stacks += [f"tp1-{label}" for label in LABELS]
    project.lab("class", "up", "tp1", "--jobs", "3")
    return project


def facts(text: str) -> list[dict[str, Any]]:
    """Return what a command printed as JSON, a line each."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def rows(project: ProjectCopy, *arguments: str) -> dict[str, dict[str, object]]:
    """Run a class command with --json; return the last line of each student."""
    text = project.lab("class", *arguments, "--json")
    return {each["student"]: each for each in facts(text)}


def test_class_check_after_up_is_ok(class_of_six: ProjectCopy, client: Client) -> None:
    """All 12 servers are ok; a second `class up` and a plain `pulumi up` have nothing to do."""
    (found,) = facts(class_of_six.lab("class", "check", "tp1", "--json"))
    assert (12, []) == (len(found["servers"]), found["not_looked"])
    assert all(server["well"] for server in found["servers"])
    assert "yuno2" == client.get("https://yuno2.zoe-roux.grappe.test/")
    again = rows(class_of_six, "up", "tp1")
    assert {"up, nothing to do"} == {str(row["text"]) for row in again.values()}
    class_of_six.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "-s", "tp1-noe")


@pytest.mark.long
def test_three_damaged_labs_are_found_and_repaired(
    class_of_six: ProjectCopy, lab_host: Host
) -> None:
    """`preview` names the three; `up` repairs them and has nothing to do for the others."""
    for argv in (
        ("delete", "--force", "yuno1", "--project", "grappe-adele"),
        ("stop", "--force", "yuno2", "--project", "grappe-noe"),
        ("config", "set", "yuno1", "limits.memory=300MiB", "--project", "grappe-jean-pierre"),
    ):
        lab_host.run(["lxc", *argv])
    class_of_six.lab("class", "check", "tp1", ok=False)
    planned = rows(class_of_six, "preview", "tp1")
    assert {"adele", "noe", "jean-pierre"} == {
        name for name, row in planned.items() if row["text"] != "nothing to do"
    }, planned
    mended = rows(class_of_six, "up", "tp1")
    assert {"done"} == {str(row["state"]) for row in mended.values()}, mended
    assert 3 == sum(row["text"] == "up, nothing to do" for row in mended.values()), mended
    class_of_six.lab("class", "check", "tp1")


def test_class_exec_runs_in_all_servers(class_of_six: ProjectCopy) -> None:
    """One row per server; a command that fails in one server still runs in the others."""
    output = facts(class_of_six.lab("class", "exec", "tp1", "--json", "--", "hostname"))
    ended = [each for each in output if each["state"] == "done"]
    assert 12 == len(ended)
    assert all(each["student"].endswith(f":{each['text']}") for each in ended)
    argv = ("--only", "noe", "adele:yuno2", "--", "test $(hostname) = yuno2")
    text = class_of_six.lab("class", "exec", "tp1", *argv, ok=False)
    assert "✓ adele:yuno2" in text
    assert "✓ noe:yuno2" in text
    assert "✗ noe:yuno1" in text
    assert "adele:yuno1" not in text


def test_class_reset_restores_a_snapshot(class_of_six: ProjectCopy, lab_host: Host) -> None:
    """It resets only the named servers; `up` has nothing to do; `before-reset` undoes it."""

    def lab(*words: str, ok: bool = True) -> str:
        return class_of_six.lab("class", *words, ok=ok)

    def has(server: str, name: str) -> bool:
        argv = [
            "lxc",
            "exec",
            server,
            "--project",
            "grappe-zoe-roux",
            "--",
            "test",
            "-e",
            f"/srv/{name}",
        ]
        return lab_host.run(argv, check=False).status == 0

    assert "zoe-roux:yuno2: it has no snapshot" in lab("reset", "tp1", "zoe-roux:yuno2", ok=False)
    # An interrupted `class snapshot` leaves it in some servers only.
    lab("snapshot", "tp1", "first", "zoe-roux:yuno1")
    assert "has it: first" in lab("snapshot", "tp1", "first", "zoe-roux")
    assert "it has a snapshot first already" in lab(
        "snapshot", "tp1", "first", "zoe-roux", ok=False
    )
    lab("exec", "tp1", "--only", "zoe-roux", "--", "touch", "/srv/since")
    # A setting made after the snapshot is not in it.
    path = class_of_six.folder / "stacks" / "Pulumi.tp1-zoe-roux.yaml"
    kept = path.read_text()
    path.write_text(kept.replace("config:\n", "config:\n  grappe:limits: {memory: 400MiB}\n"))
    lab("up", "tp1", "zoe-roux")
    assert "no terminal to answer on" in lab("reset", "tp1", "zoe-roux:yuno2", ok=False)
    output = lab("reset", "tp1", "zoe-roux:yuno2", "--yes")
    assert "zoe-roux:yuno2 goes back to first" in output
    assert [True, False] == [has(server, "since") for server in ("yuno1", "yuno2")]
    assert "up, nothing to do" == rows(class_of_six, "up", "tp1", "zoe-roux")["zoe-roux"]["text"]
    lab("check", "tp1", "zoe-roux")
    lab("reset", "tp1", "zoe-roux:yuno2", "--to", "before-reset", "--yes")
    assert has("yuno2", "since")
    # Each reset keeps the state before it, an older one under a name with its time.
    lab("reset", "tp1", "zoe-roux:yuno2", "--to", "before-reset", "--yes")
    assert not has("yuno2", "since")
    argv = ["lxc", "query", "/1.0/instances/yuno2/snapshots?project=grappe-zoe-roux"]
    names = [path.rpartition("/")[2] for path in json.loads(lab_host.run(argv).stdout)]
    assert 3 == sum(name.startswith("before-reset") for name in names), names
    # A sleeping server is reset without being started.
    lab("sleep", "tp1", "zoe-roux")
    lab("reset", "tp1", "zoe-roux", "--to", "first", "--yes")
    states = ["lxc", "list", "--project", "grappe-zoe-roux", "--format", "csv", "--columns", "s"]
    assert {"STOPPED"} == set(lab_host.run(states).stdout.split())
    lab("wake", "tp1", "zoe-roux")
    assert not has("yuno1", "since")
    path.write_text(kept)
    lab("up", "tp1", "zoe-roux")
    lab("check", "tp1")


@pytest.mark.long
def test_key_of_a_student_opens_only_her_servers(
    class_of_six: ProjectCopy, workstation: Host, lab_host: Host, tmp_path: pathlib.Path
) -> None:
    """Removing the key from the stack file ends the login; keys that she added herself stay."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    path = class_of_six.folder / "stacks" / "Pulumi.tp1-noe.yaml"
    kept = path.read_text()
    path.write_text(kept.replace("config:\n", f'config:\n  grappe:keys: ["{public}"]\n'))
    server, other = class_of_six.outputs("tp1-noe")["servers"]

    def whoami(server: dict[str, Any] = server) -> str:
        argv = ["ssh", "-q", "-i", str(key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
                "-p", str(server["ssh"]["port"]), f"grappe-student@{server['ssh']['host']}", "id -un"]  # fmt: skip
        return workstation.run(argv, timeout=30, check=False).stdout.strip()

    class_of_six.lab("class", "up", "tp1", "noe")
    assert "grappe-student" == whoami()
    assert "up, nothing to do" == rows(class_of_six, "up", "tp1", "noe")["noe"]["text"]
    # The engine's own replacement leaves it there.
    urns = re.findall(
        r"urn:\S+noe-yuno1-keys", class_of_six.pulumi("stack", "--show-urns", "-s", "tp1-noe")
    )
    class_of_six.pulumi("up", "--yes", "--skip-preview", "--replace", urns[0], "-s", "tp1-noe")
    assert "grappe-student" == whoami()
    # YunoHost's sshd lets in some groups alone; a student may post-install by hand.
    by_hand = ["yunohost", "tools", "postinstall", "--domain", other["domain"], "--username", "noe",
               "--fullname", "Noe", "--password", "a-long-enough-1"]  # fmt: skip
    lab_host.run(["lxc", "exec", "yuno2", "--project", "grappe-noe", "--", *by_hand], timeout=60)
    assert "grappe-student" == whoami(other)
    assert "! noe/yuno2: it was post-installed" in class_of_six.lab("check", "tp1-noe")
    card = class_of_six.lab("card", "tp1-noe")
    assert f"https://{server['domain']}/yunohost/admin" in card
    assert f"https://{other['domain']}/yunohost/admin" not in card
    inside = ["lxc", "exec", "yuno1", "--project", "grappe-noe", "--", "sh", "-c"]
    file = "/home/grappe-student/.ssh/authorized_keys"
    lab_host.run([*inside, f"echo '# hers' >> {file}"])
    path.write_text(kept)
    class_of_six.lab("class", "up", "tp1", "noe")
    assert "" == whoami()
    assert "# hers\n" == lab_host.run([*inside, f"cat {file}"]).stdout


def test_class_sleep_and_wake_keep_content(
    class_of_six: ProjectCopy, lab_host: Host, client: Client
) -> None:
    """Files stay; an `up` starts no sleeping server, whose page answers 503."""
    lab_host.run(["lxc", "exec", "yuno1", "--project", "grappe-noe", "--", "touch", "/srv/hers"])
    class_of_six.lab("class", "sleep", "tp1", "noe")
    states = ["lxc", "list", "--project", "grappe-noe", "--format", "csv", "--columns", "s"]
    assert {"STOPPED"} == set(lab_host.run(states).stdout.split())
    assert "up, nothing to do" == rows(class_of_six, "up", "tp1", "noe")["noe"]["text"]
    assert "503" in client.run("curl", "-s", "--max-time", "5", "-o", "/dev/null", "-w",
                             "%{http_code}", "http://yuno1.noe.grappe.test/")  # fmt: skip
    class_of_six.lab("class", "wake", "tp1", "noe")
    lab_host.run(
        ["lxc", "exec", "yuno1", "--project", "grappe-noe", "--", "test", "-e", "/srv/hers"]
    )
    class_of_six.lab("class", "check", "tp1")


def test_unreadable_stack_file_is_one_failed_row(class_of_six: ProjectCopy) -> None:
    """The other students' runs go on; the exit status is not 0."""
    path = class_of_six.folder / "stacks" / "Pulumi.tp1-noe.yaml"
    kept = path.read_text()
    path.write_text("config: [")
    try:
        text = class_of_six.lab("class", "up", "tp1", "noe", "adele", "--json", ok=False)
    finally:
        path.write_text(kept)
    output = [each for each in facts(text) if each["state"] != "running"]
    assert {"noe": "failed", "adele": "done"} == {each["student"]: each["state"] for each in output}
    assert "cannot be read" in next(each["text"] for each in output if each["state"] == "failed")


@pytest.mark.parametrize("kill", [signal.SIGINT, long(signal.SIGKILL)])
def test_interrupted_class_up_resumes(
    class_of_six: ProjectCopy, kill: signal.Signals, tmp_path: pathlib.Path
) -> None:
    """Ctrl-C, or the one process killed: the same command again brings all up."""
    class_of_six.lab("class", "down", "tp1", "noe", "zoe-roux", "--yes")
    log = tmp_path / "log"
    with log.open("w") as output:
        going = subprocess.Popen(
            ["./lab", "class", "up", "tp1", "noe", "zoe-roux", "--jobs", "2"],
            cwd=class_of_six.folder, env=class_of_six.env, stdout=output, stderr=output,
        )  # fmt: skip
    logs = class_of_six.folder / ".state" / "logs" / "tp1"
    command.wait_until(
        lambda: any("creating" in (logs / f"{name}.log").read_text() for name in ("noe", "zoe-roux")),
        what="a run's first resource", timeout=60, pause=0.05,
    )  # fmt: skip
    going.send_signal(kill)
    going.wait(timeout=60)
    assert going.returncode != 0
    assert "Traceback" not in log.read_text()
    again = rows(class_of_six, "up", "tp1")
    assert {"done"} == {str(row["state"]) for row in again.values()}, again
    class_of_six.lab("class", "check", "tp1")


def test_class_down_restores_the_host(
    class_of_six: ProjectCopy, before: dict[str, str], lab_host: Host, workstation: Host
) -> None:
    """First one student, then all; it asks before it deletes a lab whose state is lost."""
    class_of_six.lab("class", "down", "tp1", "adele", "--yes")
    (output,) = facts(class_of_six.lab("class", "status", "tp1", "--json"))
    states = {each["student"]: each["state"] for each in output["students"]}
    assert {"adele": "down", "noe": "up"} == {name: states[name] for name in ("adele", "noe")}
    # Somebody lost the state of a lab that is up.
    states_of = class_of_six.folder / ".state" / ".pulumi" / "stacks" / "grappe"
    lost = [*states_of.glob("tp1-zoe-roux.json*")]
    assert lost
    for path in lost:
        path.unlink()
    assert "Take 1 labs of tp1 down" in class_of_six.lab(
        "class", "down", "tp1", "zoe-roux", ok=False
    )
    class_of_six.lab("class", "down", "tp1", "--yes")
    assert before == inventory(lab_host, workstation)
