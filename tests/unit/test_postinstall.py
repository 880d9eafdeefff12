"""Post-installation of YunoHost: arguments, stages, services, passwords and strangers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core import errors, validators
from core.names import INSTALLED, MAIN_DOMAIN
from hosts import command
from providers import base
from providers.haproxy import model as haproxy
from providers.lxd import fake, script, script_run
from providers.lxd.postinstall import driver, inside, model, services, withdrawal
from remote import haproxy_maps

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
def test_arguments_follow_the_installed_help(said: str, rest: list[str]) -> None:
    """And no more."""
    assert START + rest == model.arguments(said, SPEC)
    assert model.takes_user(said) is ("--username" in said)


def test_the_password_is_in_no_argv() -> None:
    """It is read from standard input; the program that LXD starts is a file."""
    made = model.postinstall_script(V12, SPEC)
    assert "correct horse" not in made.text
    assert "correct horse\n" == made.stdin
    assert "correct horse" not in script.SecretMask(made)("it is correct horse.")


def test_postinstall_refuses_and_hides_the_password() -> None:
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
        [sys.executable, "-c", model._PROGRAM, "--password", str(program)], input="-tQy9k6zn3gjj7Ga\n",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ("-tQy9k6zn3gjj7Ga\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("student", "login", "full_name"),
    [("alice", "alice", "Alice"), ("jean-pierre", "jean_pierre", "Jean Pierre"),
     ("Marie-Claire2", "marie_claire2", "Marie Claire2"), ("news", "news_user", "News User"),
     ("admin", "admin_user", "Admin User"), ("a" * 40, "a" * 32, "A" + "a" * 29)],
)  # fmt: skip
def test_login_of_any_student_is_valid_for_yunohost(
    student: str, login: str, full_name: str
) -> None:
    """The patterns are YunoHost's own (share/actionsmap.yml of 12.1)."""
    assert login == validators.login_of(student)
    assert "" == validators.problem_of_new_login(login)
    assert full_name == model.full_name(login)
    assert re.fullmatch(r"[a-z0-9_\.]+", login)
    assert re.fullmatch(r"([^\W_]{1,30}[ ,.'-]{0,3})+", full_name)


@pytest.mark.parametrize(
    ("value", "words"),
    [("jean-pierre", "Small letters, digits, _ and ."), ("admin", "admin_user?"),
     ("news", "keeps for itself or the system"), ("Anna", "Small letters"), ("1a", "Small letters")],
)  # fmt: skip
def test_a_login_that_yunohost_refuses_is_refused(value: str, words: str) -> None:
    """At preview, with what would be right."""
    assert words in validators.problem_of_new_login(value)


def test_a_domain_that_its_certificate_cannot_hold_is_refused() -> None:
    """64 bytes."""
    domain = f"{'a' * 60}.test"
    assert "has 65 characters" in model.domain_problem(domain)
    assert "" == model.domain_problem(domain[1:])


@pytest.mark.parametrize(
    ("domain", "taken"),
    [("a.lab.test", True), ("a.xn--p1ai", True), ("a.lab-1", False), ("a.lab.x", False)],
)
def test_domain_that_yunohost_refuses_is_refused(domain: str, taken: bool) -> None:
    """Its own pattern ends in letters and digits, at least two."""
    assert taken is (model.domain_problem(domain) == "")


SUCCESS = "operation: tools_postinstall\nsuccess: true\n"


@pytest.mark.parametrize(
    ("records", "installed", "marked", "expected"),
    [
        ([], True, False, model.Stage.DONE),
        ([SUCCESS], True, False, model.Stage.DONE),
        (["operation: tools_postinstall\n"], True, False, model.Stage.INTERRUPTED),
        (["operation: tools_postinstall\n"], True, True, model.Stage.DONE),
        (["success: false\n", SUCCESS], True, False, model.Stage.DONE),
        (["success: false\nerror: 'success: true'\n"], True, False, model.Stage.INTERRUPTED),
        ([], False, False, model.Stage.ABSENT),
        (["success: false\n"], False, False, model.Stage.ABSENT),
        ([SUCCESS], False, False, model.Stage.LOST),
        ([], False, True, model.Stage.LOST),
    ],
)
def test_done_is_what_yunohost_recorded_as_a_success(
    records: list[str], installed: bool, marked: bool, expected: model.Stage
) -> None:
    """Its file `installed` is there in the middle already."""
    assert expected is model.stage(records, installed=installed, marked=marked)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("20261126-101112-tools_postinstall.yml", True), (".20261126-tools_postinstall.success", False),
     ("20261126-101112-tools_postinstall.log", False), ("20261126-user_create-a.yml", False)],
)  # fmt: skip
def test_only_yaml_files_are_records(name: str, is_one: bool) -> None:
    """YAML, and no link beside it."""
    assert is_one is model.is_record(name)


@pytest.mark.parametrize(
    "said", ["ERROR The domain already exists", "The user 'anna' already exists"]
)
def test_try_that_made_its_user_cannot_go_on(said: str) -> None:
    """An earlier try had made the user: only a new server helps."""
    assert model.cannot_go_on(said)
    assert not model.cannot_go_on("Password must be less than 127 characters long")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR Username already exists in the list of system users",
         "pulumi config set grappe:login NAME -s a"),
        ("ERROR The domain already exists", "recreate the server: ./lab up a --rebuild yuno1"),
        (f"ERROR {'This password is among the most used passwords in the world.'}",
         "pulumi config set --secret grappe:password -s a"),
    ],
)  # fmt: skip
def test_refused_post_installation_has_a_remedy_that_helps(
    monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    """A user of the image is in a rebuilt server again: the login must change."""
    made, _lxd = installed({})
    failed = script_run.Outcome(1, "", said)
    monkeypatch.setattr(script_run, "run", lambda *_words, **_options: failed)
    with pytest.raises(errors.CommandError) as caught:
        made._run(DONE, model.usage(), "yunohost tools postinstall")
    assert remedy in str(caught.value.do)
    assert ("--rebuild" in str(caught.value.do)) is ("password" not in said)


def test_first_programs_wait_for_the_one_of_a_killed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The post-installation that a killed run began goes on, and holds the lock for minutes."""
    waits: list[float] = []

    def execute(*_words: object, timeout: float, **_options: object) -> fake.daemon.Executed:
        waits.append(timeout)
        return fake.daemon.Executed(0, b"", b"")

    _made, lxd = installed({})
    monkeypatch.setattr(lxd, "execute", execute)
    for made in (model.usage(), model.has_user("anna")):
        script_run.run(lxd, "grappe-a", "yuno1", made)
    assert min(waits) > SPEC.timeout


@pytest.mark.parametrize("folder", model.RECORDS)
def test_records_of_every_version_are_read(folder: str) -> None:
    """YunoHost 12 moved them; a post-installation without any record counts as done."""
    made, lxd = installed({})
    del lxd.files["grappe-a", "yuno1", model.MARK]
    name = "20261126-101112-tools_postinstall.yml"
    lxd.files["grappe-a", "yuno1", folder] = json.dumps({"metadata": [name]}).encode()
    lxd.files["grappe-a", "yuno1", f"{folder}/{name}"] = b"success: false\n"
    assert model.DRIFTS[model.Stage.INTERRUPTED] == made.read(DONE).drift


DONE = dataclasses.replace(SPEC, domain="a.test", resolver="10.64.1.1")


def installed(files: dict[str, bytes]) -> tuple[driver.PostInstallDriver, fake.FakeLxd]:
    """Return the driver, and a daemon whose one server is post-installed."""
    lxd = fake.FakeLxd()
    config = {"user.grappe.owner": "grappe/a"}
    lxd.instances["grappe-a", "yuno1"] = {"status": "Running", "config": config}
    there = {INSTALLED: b"", model.MARK: b"", **files}
    lxd.files.update({("grappe-a", "yuno1", path): text for path, text in there.items()})
    return driver.PostInstallDriver(lxd, "ssh://fake"), lxd


def test_a_domain_that_yunohost_has_is_no_change() -> None:
    """The stack file may follow what a student did there; else the commands are named."""
    moved = dataclasses.replace(DONE, domain="b.test")
    made, _lxd = installed({MAIN_DOMAIN: b"b.test\n"})
    assert "" == made.read(DONE).drift
    assert {} == made.update(DONE, moved)
    made, _lxd = installed({MAIN_DOMAIN: b"a.test\n"})
    with pytest.raises(errors.BadInputError, match="yunohost domain main-domain -n b.test"):
        made.update(DONE, moved)


def test_missing_administrator_is_made_by_commands_that_yunohost_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its `user create` has no option for an administrator, in any version."""
    monkeypatch.setattr(inside, "has_user", lambda *_words: False)
    made, _lxd = installed({MAIN_DOMAIN: b"a.test\n"})
    for change in ({"login": "zoe"}, {"password": "another one"}):
        wished = dataclasses.replace(DONE, **change)
        with pytest.raises(errors.BadInputError) as caught:
            made.update(DONE, wished)
        add = f"yunohost user create {wished.login}; yunohost user group add admins {wished.login}"
        assert add in str(caught.value.do)


def test_a_fail2ban_that_may_ban_the_lab_host_is_drift() -> None:
    """Until the bridge's address is in its `ignoreip`."""
    made, lxd = installed({f"{model.JAIL_FOLDER}/defaults.conf": b""})
    assert "may ban the lab host" in made.read(DONE).drift
    made.update(DONE, DONE)
    assert b"10.64.1.1" in lxd.files["grappe-a", "yuno1", model.JAIL]
    assert "" == made.read(DONE).drift


UNITS = {"ssh": "active", "nginx": "active", "slapd": "active", "yunohost-api": "active",
         "yunohost-portal-api": "active", "dnsmasq": "active"}  # fmt: skip
LISTENS = (6787, 6788, 443)


def surveyed(
    listens: tuple[int, ...] = LISTENS, states: dict[str, str] | None = None, **units: str
) -> str:
    """Return what `systemctl show` and /proc/net/tcp say."""
    shown = "\n".join(
        f"Id={name}.{'socket' if name == 'ssh.socket' else 'service'}\nActiveState={state}\n"
        f"UnitFileState={(states or {}).get(name, 'enabled')}\n"
        for name, state in {**UNITS, **units}.items()
    ).replace("ssh.socket.socket", "ssh.socket")
    rows = [f"{n:4}: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000"
            for n, port in enumerate(listens)]  # fmt: skip
    return "\n".join([shown, "  sl  local_address rem_address   st tx_queue", *rows, ""])


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (surveyed(), []),
        (surveyed(slapd="failed", nginx="inactive"), ["nginx does not run", "slapd does not run"]),
        (surveyed(slapd="activating"), []),
        (surveyed(states={"slapd": "generated"}, slapd="inactive"), ["slapd does not run"]),
        (surveyed(states={"slapd": "disabled"}, slapd="inactive"), []),
        (surveyed(states={"slapd": ""}, slapd="inactive"), []),
        (surveyed(ssh="inactive"), ["ssh does not run"]),
        (surveyed(ssh="inactive", **{"ssh.socket": "active"}), []),
        (surveyed((6788, 443)), ["yunohost-api does not answer"]),
        (surveyed((6787,), **{"yunohost-portal-api": "inactive"}), ["yunohost-portal-api does not run"]),
        ("", []),
    ],
)  # fmt: skip
def test_enabled_service_that_does_not_run_is_reported(text: str, faults: list[str]) -> None:
    """Of those that start at a boot; an API counts by its port, for a child keeps its unit alive."""
    assert faults == services.stopped(text)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({}, []),
        ({"nginx": ("inactive", "enabled")}, ["nginx does not run"]),
        (dict.fromkeys([*services.VITAL, "ssh.socket"], ("inactive", "disabled")),
         [f"{unit} is disabled" for unit in services.SERVICES if unit in services.VITAL]),
        ({"slapd": ("inactive", "masked")}, ["slapd is masked"]),
        # Started by hand; by its socket; some versions disable this one themselves.
        ({"nginx": ("active", "disabled"), "ssh": ("inactive", "disabled"),
          "ssh.socket": ("active", "enabled"), "nftables": ("inactive", "disabled")}, []),
    ],
)  # fmt: skip
def test_inspection_reports_stopped_and_disabled_services(
    tmp_path: pathlib.Path, states: dict[str, tuple[str, str]], told: list[str]
) -> None:
    """Of disabled and masked services only the vital ones."""
    blocks = []
    for unit in services.UNITS:
        name = unit.removesuffix(".service")
        active, enabled = states.get(name, ("active", "enabled"))
        blocks.append(f"Id={unit}\nActiveState={active}\nUnitFileState={enabled}\n")
    (tmp_path / "shown").write_text("\n".join(blocks))
    for program, line in (
        ("systemctl", f"cat {tmp_path}/shown"),
        ("curl", "true"),
        ("sshd", "true"),
    ):
        (tmp_path / program).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / program).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    said = command.execute(services.inspection(user="nobody-here"), env=env).stdout.splitlines()
    assert [*told, services.UNKNOWN] == said
    assert told == command.execute(services.inspection(user="root"), env=env).stdout.splitlines()


@pytest.mark.parametrize(
    ("sshd", "told"),
    [
        ("port 22\npasswordauthentication yes\nallowgroups admins\nallowgroups root\n", []),
        ("port 22\npasswordauthentication no\n", [services.NO_PASSWORDS]),
        ("port 22\nallowgroups admins\nallowgroups ssh.main\n", [services.SHUT_OUT]),
        ("port 22\nallowgroups *\n", []),
        ("port 2222\n", [f"its sshd listens on 2222 ({services.SSH_PORT})"]),
    ],
)
def test_inspection_reports_an_sshd_that_refuses_the_login(
    tmp_path: pathlib.Path, sshd: str, told: list[str]
) -> None:
    """YunoHost's own setting, and its groups: the banner answers all the same."""
    (tmp_path / "sshd.conf").write_text(sshd)
    shown = "\n".join(
        f"Id={unit}\nActiveState=active\nUnitFileState=enabled\n" for unit in services.UNITS
    )
    (tmp_path / "shown").write_text(shown)
    for program, line in (
        ("systemctl", f"cat {tmp_path}/shown"), ("curl", "true"), ("sshd", f"cat {tmp_path}/sshd.conf"),
    ):  # fmt: skip
        (tmp_path / program).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / program).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    said = command.execute(services.inspection(user="root"), env=env).stdout.splitlines()
    assert told == said


def test_moved_sshd_comes_back_also_where_its_file_was_edited() -> None:
    """The setting alone changes nothing then, and YunoHost reports a success."""
    done = services.remedy([f"its sshd listens on 2222 ({services.SSH_PORT})"])
    assert done.startswith("sh -c 'yunohost settings set security.ssh.ssh_port -v 22; ")
    assert done.endswith("yunohost tools regen-conf ssh --force'")


def test_a_stopped_service_is_drift_that_an_update_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not start is an error with its journal; a stopped server has none."""
    made, lxd = installed({})
    text = [surveyed(slapd="failed")]
    monkeypatch.setattr(
        lxd, "execute", lambda *_argv, **_options: fake.daemon.Executed(0, text[0].encode(), b"")
    )
    assert "slapd does not run" == made.read(DONE).drift
    with pytest.raises(errors.CommandError, match="some of its services fail"):
        made.update(DONE, DONE)
    text[0] = ""
    assert "" == made.read(DONE).drift
    assert {} == made.update(DONE, DONE)
    lxd.instances["grappe-a", "yuno1"]["status"] = "Frozen"
    text[0] = surveyed(slapd="failed")
    assert "" == made.read(DONE).drift


def test_a_removed_user_is_no_stranger_where_grappe_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A student may remove the first user; without our mark somebody else came first."""
    monkeypatch.setattr(inside, "has_user", lambda *_arguments: False)
    told: list[str] = []
    monkeypatch.setattr(driver.run, "report", told.append)
    made, lxd = installed({})
    monkeypatch.setattr(made, "_run", lambda *_arguments, **_options: "--username")
    assert {"user": DONE.login} == made.create(DONE)
    assert f"has no user {DONE.login} any more" in told[0]
    del lxd.files["grappe-a", "yuno1", model.MARK]
    with pytest.raises(errors.BadInputError, match="post-installed by somebody else"):
        made.create(DONE)


def test_a_script_leaves_the_mark_where_it_succeeds(tmp_path: pathlib.Path) -> None:
    """Also where the run that waited for it was killed; a failed one leaves none."""
    program = tmp_path / "yunohost"
    for status in (3, 0):
        program.write_text(f"#!/usr/bin/python3\nimport sys\nsys.exit({status})\n")
        program.chmod(0o755)
        script = model.postinstall_script("", SPEC).text.replace("/etc/yunohost", str(tmp_path))
        done = command.execute(
            ["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdin=b"a password\n"
        )
        assert (status, not status) == (done.status, (tmp_path / ".grappe-postinstalled").exists())


def test_api_is_stopped_during_a_post_installation(tmp_path: pathlib.Path) -> None:
    """YunoHost's API stops before the post-installation, and starts once one has succeeded."""
    log = tmp_path / "log"
    for name, status in (("yunohost", 3), ("systemctl", 0)):
        program = tmp_path / name
        program.write_text(
            f"#!/usr/bin/python3\nimport sys\nopen({str(log)!r}, 'a').write("
            f"' '.join(['{name}', *sys.argv[1:3]]) + '\\n')\nsys.exit({status})\n"
        )
        program.chmod(0o755)
    script = model.postinstall_script("", SPEC).text.replace("/etc/yunohost", str(tmp_path))
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command.execute(["sh", "-euc", script], env=env, stdin=b"a password\n")
    stop, start = "systemctl stop yunohost-api", "systemctl start yunohost-api"
    assert [stop, "yunohost tools postinstall"] == log.read_text().splitlines()
    log.unlink()
    # In versions before 11.1 the directory has an admin of its own.
    (tmp_path / "slapcat").write_text(
        "#!/bin/sh\necho 'dn: cn=admin,dc=yunohost,dc=org'; echo 'uid: admin'\n"
    )
    (tmp_path / "slapcat").chmod(0o755)
    failing = (tmp_path / "yunohost").read_text()
    (tmp_path / "yunohost").write_text(failing.replace("sys.exit(3)", "sys.exit(0)"))
    command.execute(["sh", "-euc", script], env=env, stdin=b"a password\n")
    assert [stop, "yunohost tools postinstall", start] == log.read_text().splitlines()
    # The user of a post-installation that the stop interrupted would stay an administrator.
    log.unlink()
    (tmp_path / "slapcat").write_text(
        "#!/bin/sh\necho 'dn: uid=evil,ou=users,dc=yunohost,dc=org'\n"
    )
    (tmp_path / "slapcat").chmod(0o755)
    done = command.execute(["sh", "-euc", script], env=env, stdin=b"a password\n")
    assert [stop] == log.read_text().splitlines()
    assert "the user evil already exists" in done.stderr
    assert model.cannot_go_on(done.stderr)
    # A stranger's post-installation has finished before the stop.
    log.unlink()
    (tmp_path / "installed").touch()
    done = command.execute(["sh", "-euc", script], env=env, stdin=b"a password\n")
    assert [stop] == log.read_text().splitlines()
    assert (1, "YunoHost is already installed") == (done.status, done.stderr.strip())


@pytest.mark.parametrize(
    ("yunohost", "directory", "expected"), [(0, 49, 0), (1, 0, 0), (1, 49, 1), (127, 49, 127)]
)
def test_password_that_already_works_counts_as_changed(
    tmp_path: pathlib.Path, yunohost: int, directory: int, expected: int
) -> None:
    """YunoHost changes it first, and fails later where it has no internet."""
    given, mark = dataclasses.replace(SPEC, password="a pass word"), tmp_path / "mark"
    mark.touch()
    script = model.change_of_password(given, "zoe").text
    script = script.replace("/run/", f"{tmp_path}/").replace(model.MARK, str(mark))
    for name, body in (
        ("yunohost", f"import sys\nsys.exit({yunohost})"),
        ("ldapwhoami", "import sys\nassert 'uid=zoe,ou=users,dc=yunohost,dc=org' in sys.argv\n"
         f"assert open(sys.argv[-1]).read() == 'a pass word'\nsys.exit({directory})"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"#!/usr/bin/python3\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = command.execute(["sh", "-euc", script], env=env, stdin=b"a pass word\n")
    assert expected == done.status, done.stderr
    assert (expected != 0) == (mark.read_bytes() == b"")
    assert not model.is_older(mark.read_bytes(), "a pass word")
    assert [] == list(tmp_path.glob("grappe-password.*"))


def test_a_password_from_before_a_change_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot brings one back. An earlier version's mark tells nothing."""
    jobs: list[str] = []
    monkeypatch.setattr(inside, "has_user", lambda *_words: True)
    made, lxd = installed({MAIN_DOMAIN: b"a.test\n"})
    monkeypatch.setattr(made, "_run", lambda _spec, _job, words: jobs.append(words))
    assert "" == made.read(DONE).drift
    digest = hashlib.scrypt(b"of before", salt=b"0a", n=2**8, r=8, p=1).hex()
    lxd.files["grappe-a", "yuno1", model.MARK] = f"0a {digest}\n".encode()
    assert "" == made.read(dataclasses.replace(DONE, password="of before")).drift
    assert "is an older one" in made.read(DONE).drift
    made.update(DONE, DONE)
    assert [f"yunohost user update {DONE.login} --change-password"] == jobs
    lxd.instances["grappe-a", "yuno1"]["status"] = "Stopped"
    assert "" == made.read(DONE).drift


def test_finish_regenerates_sshd_config() -> None:
    """`regen-conf --force` leaves a changed one alone unless it is named."""
    assert "regen-conf ssh --force" in model.FINISH


@pytest.mark.parametrize("known", ["nftables", "yunohost-firewall"])
def test_finish_enables_the_firewall_of_each_version(tmp_path: pathlib.Path, known: str) -> None:
    """YunoHost does so between `installed` and its end, and nowhere else."""
    program = tmp_path / "yunohost"
    program.write_text(
        f'#!/bin/sh\n[ "$2" != enable ] || [ "$3" = {known} ] || exit 1\necho "$2 $3" >> {tmp_path}/log\n'
    )
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert 0 == command.execute(["sh", "-euc", model.FINISH], env=env).status
    log = (tmp_path / "log").read_text().splitlines()
    assert [f"enable {known}", "regen-conf --force", "regen-conf ssh"] == log


def test_password_change_of_a_stopped_server_is_refused() -> None:
    """YunoHost would never learn of it, and the state would say that it did."""
    made, lxd = installed({MAIN_DOMAIN: b"a.test\n"})
    lxd.instances["grappe-a", "yuno1"]["status"] = "Stopped"
    assert {} == made.update(DONE, DONE)
    with pytest.raises(errors.BadInputError, match="is stopped, and its password changed"):
        made.update(DONE, dataclasses.replace(DONE, password="another long one"))


@pytest.mark.parametrize("left", [True, False])
def test_the_api_stays_closed_after_a_failure(monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    """Unless the server is post-installed all the same; a message says that it stays stopped."""
    made, lxd = installed({})
    for path in (INSTALLED, model.MARK):
        del lxd.files["grappe-a", "yuno1", path]
    done: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(driver.run, "report", told.append)
    monkeypatch.setattr(made, "_activate", lambda _spec, script: done.append(script))
    monkeypatch.setattr(inside, "has_user", lambda *_words: True)

    def run(_spec: object, _job: object, words: str, **_options: object) -> str:
        if words.endswith("--help"):
            return "--username"
        if left:
            lxd.files["grappe-a", "yuno1", INSTALLED] = b""
        raise errors.CommandError("refused")

    monkeypatch.setattr(made, "_run", run)
    with pytest.raises(errors.CommandError, match="refused"):
        made.create(DONE)
    assert [model.CLOSE, *([model.OPEN] if left else [])] == done
    assert left is not any("stays stopped" in text for text in told)


def test_refused_password_has_a_remedy_of_its_own() -> None:
    """To inspect the server helps nobody."""
    said = "ERROR This password is among the most used passwords in the world."
    assert model.refuses_password(said)
    assert model.refuses_password("The password needs to be at least 8 characters long")
    assert not model.refuses_password("ERROR Username already exists")


def test_banned_addresses_are_read_from_fail2bans_own_listing() -> None:
    """Each once, whatever jails hold it."""
    said = "[{'sshd': ['192.168.8.20']}, {'recidive': ['192.168.8.20', '10.64.1.1']}]\n"
    assert ["192.168.8.20", "10.64.1.1"] == model.addresses(said)
    assert [] == model.addresses("[{'sshd': []}]\n")


def test_server_of_a_stranger_is_drift_that_no_update_mends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has neither our mark nor our login, as after a post-installation that came before ours."""
    users = {"mallory"}
    monkeypatch.setattr(inside, "has_user", lambda *words: words[-1] in users)
    made, lxd = installed({})

    def execute(_server: str, argv: list[str], **_options: object) -> fake.daemon.Executed:
        unknown = argv[:2] == ["getent", "passwd"] and argv[2] not in users
        return fake.daemon.Executed(2 if unknown else 0, b"", b"")

    monkeypatch.setattr(lxd, "execute", execute)
    assert "" == made.read(DONE).drift
    del lxd.files["grappe-a", "yuno1", model.MARK]
    lxd.files["grappe-a", "yuno1", f"{model.RECORDS}/1-tools_postinstall-x.yml"] = (
        b"success: true\n"
    )
    monkeypatch.setattr(inside, "stage_of", lambda *_words: model.Stage.DONE)
    assert f"by somebody else: it has no user {DONE.login}" in made.read(DONE).drift
    with pytest.raises(errors.BadInputError, match="--rebuild yuno1"):
        made.update(DONE, DONE)
    users.add(DONE.login)
    assert "" == made.read(DONE).drift


@pytest.mark.parametrize("faster", ["before", "meanwhile"])
def test_stranger_who_is_faster_is_named(monkeypatch: pytest.MonkeyPatch, faster: str) -> None:
    """Before the pages were withdrawn, or while the program started; the route stays away."""
    order: list[str] = []

    @contextlib.contextmanager
    def withdrawn(_spec: model.PostInstallSpec) -> Iterator[None]:
        order.append("withdrawn")
        if faster == "before":
            lxd.files["grappe-a", "yuno1", INSTALLED] = b""
        yield
        order.append("put back")

    def run(_spec: object, _job: object, words: str, **_options: object) -> str:
        if words.endswith("--help"):
            return "--username"
        order.append("ran")
        lxd.files["grappe-a", "yuno1", INSTALLED] = b""
        raise errors.CommandError("YunoHost is already installed")

    made, lxd = installed({})
    for path in (INSTALLED, model.MARK):
        del lxd.files["grappe-a", "yuno1", path]
    monkeypatch.setattr(made, "_withdrawn", withdrawn)
    monkeypatch.setattr(made, "_run", run)
    monkeypatch.setattr(inside, "has_user", lambda *_words: False)
    with pytest.raises(errors.BadInputError, match="post-installed by somebody else"):
        made.create(DONE)
    assert ["withdrawn", *(["ran"] if faster == "meanwhile" else [])] == order


@pytest.mark.parametrize("state", [haproxy_maps.UP, haproxy_maps.STOPPED, None])
def test_route_is_withdrawn_during_a_post_installation(
    monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    """One that is up is put back afterwards, and stays away after a failure."""
    put: list[str] = []

    class Backends:
        def read(self, spec: haproxy.BackendSpec) -> base.Reading[haproxy.BackendSpec] | None:
            actual = dataclasses.replace(spec, address="10.64.1.10", state=state or "")
            return base.Reading(actual) if state else None

        def update(self, _old: object, new: haproxy.BackendSpec) -> None:
            put.append(new.state)

    monkeypatch.setattr(withdrawal.BackendProvider, "driver", lambda _self, _host: Backends())
    withdrawn = withdrawal.on(None)  # type: ignore[arg-type]
    with withdrawn(DONE):
        assert ([haproxy_maps.STOPPED] if state == haproxy_maps.UP else []) == put
    assert ([haproxy_maps.STOPPED, haproxy_maps.UP] if state == haproxy_maps.UP else []) == put
    put.clear()
    with pytest.raises(errors.CommandError), withdrawn(DONE):
        raise errors.CommandError("it failed")
    assert ([haproxy_maps.STOPPED] if state == haproxy_maps.UP else []) == put
