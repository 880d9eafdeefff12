"""Host URLs, the identity of a host, and errors of ssh."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import tempfile

import pytest

from core import errors, lifetime
from hosts import command, identity, ssh, url


@pytest.mark.parametrize(
    "text",
    [
        "local:",
        "netns:grappe-ws",
        "ssh://lab",
        "ssh://root@lab.example:2222",
        "ssh://[::1]:22",
        "ssh://LabServer",
        "ssh://root@LabServer:22",
    ],
)
def test_url_is_parsed_and_printed_unchanged(text: str) -> None:
    """str(parse(x)) is x."""
    assert text == str(url.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "0\nabc\n10.0.0.9 50000 192.168.8.10 22\nb-1\n\n",
            identity.Identity(0, "abc", "192.168.8.10", "b-1"),
        ),
        (
            "1000\nabc\n\n\n2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\n",
            identity.Identity(1000, "abc", "192.0.2.2"),
        ),
        ("0\nabc\n\n", identity.Identity(0, "abc", "")),
    ],
)
def test_identity_is_read_from_a_logins_output(text: str, expected: identity.Identity) -> None:
    """User id, machine id, address and boot id."""
    assert expected == identity.read_identity(text)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         "not the one in known_hosts"),
        ("Host key verification failed.", "not in known_hosts"),
        ("root@lab: Permission denied (publickey).", "refuses the key"),
        ("ssh: connect to host lab port 22: Connection refused", "nothing listens"),
        ("client_loop: send disconnect: Broken pipe", "ends the login at once"),
        ("kex_exchange_identification: Connection closed by remote host", "closes new connections"),
        ("Received disconnect from 1: 2: Too many authentication failures", "too many keys"),
        ("ssh: connect to host lab port 22: No route to host", "no route leads to it"),
        ("Unable to negotiate: no matching host key type found. Their offer: ssh-dss", "no method"),
        ("", "no answer within 15 s"),
    ],
)  # fmt: skip
def test_error_of_an_unreachable_host_has_a_remedy(seen: str, words: str) -> None:
    """From the messages of OpenSSH."""
    nothing = ssh.Printed("", complete=False, ended=False)
    said = str(ssh._unreachable(url.parse("ssh://root@lab"), seen, nothing))
    assert words in said
    assert "do: " in said


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("lab: Permission denied (publickey).", "ssh-copy-id -p 2222 prof@lab,"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @",
            "ssh-keygen -R '[lab]:2222', then",
        ),
        ("", "ssh -p 2222 prof@lab must work"),
    ],
)
def test_remedy_names_login_and_port(seen: str, words: str) -> None:
    """Another login's key, or another sshd, would not do."""
    nothing = ssh.Printed("", complete=False, ended=False)
    assert words in str(ssh._unreachable(url.parse("ssh://prof@lab:2222"), seen, nothing))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            ssh.Printed("Use the other login\n", complete=False, ended=True),
            "it printed: Use the other login",
        ),
        (ssh.Printed("", complete=False, ended=True), "it ended, and printed nothing"),
        (ssh.Printed("menu: 1) quit\n", complete=False, ended=False), "it printed: menu: 1) quit"),
    ],
)
def test_login_that_runs_no_command_shows_its_output(said: ssh.Printed, words: str) -> None:
    """A ForceCommand, or a shell that a file of the login's replaced: what it printed is shown."""
    told = str(ssh._unreachable(url.parse("ssh://root@lab"), "", said))
    assert words in told
    assert "`ssh root@lab echo hello` must print hello" in told


def test_a_refused_session_names_the_settings_of_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH's client tries a new connection first; then the command has not run."""
    said = "mux_client_request_session: session request failed: Session open refused by peer"
    refused = command.CommandResult(("ssh",), 255, "", said)
    monkeypatch.setattr(command, "execute", lambda *_words, **_options: refused)
    with pytest.raises(errors.HostError, match="MaxSessions 10"):
        ssh.Ssh(url.parse("ssh://root@lab")).run(["true"], stdin=b"", timeout=9)


@pytest.mark.parametrize(
    "argv",
    [
        ["echo", "a b"],
        ["printf", "%s", "one\ntwo!\n\nthree 'quoted' \"$HOME\""],
        ["echo", "!"],
        ["printf", "%s", r"a\\b it\'s"],
        ["printf", "%s", "\tends in \\"],
        ["sed", "-n", r"s/\(x\)/\1/"],
    ],
)
def test_argv_survives_any_login_shell(argv: list[str]) -> None:
    """In one line without `!`, which csh would take for its own, or what fish takes for an escape."""
    line = ssh._command_line(argv)
    assert "\n" not in line
    assert not any(sign in line for sign in ("!", "\\\\", "\\'"))
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    plain = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert ssh._after_greeting(done.stdout) == plain.stdout


@pytest.mark.parametrize("folder", ["/tmp/a b", "/tmp/100%", "/tmp/" + 60 * "x"])
def test_a_control_socket_has_a_path_that_ssh_takes(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever TMPDIR is."""
    monkeypatch.setattr(ssh.tempfile, "gettempdir", lambda: folder)
    made = ssh._make_folder(url.parse("ssh://root@lab"))
    made.rmdir()
    assert made.parent == pathlib.Path("/tmp")


def test_a_run_has_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for its processes, another for another host; never one that others may enter."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssh, "_FITS", re.compile(".*"))
    monkeypatch.setattr(lifetime, "engine", lambda: 1)
    one, other = url.parse("ssh://root@lab"), url.parse("ssh://root@lab2")
    folder = ssh._make_folder(one)
    assert folder == ssh._make_folder(one) != ssh._make_folder(other)
    assert oct(folder.stat().st_mode).endswith("700")
    folder.chmod(0o755)
    assert folder != ssh._make_folder(one)


def test_is_alive_works_without_proc() -> None:
    """Ours runs; one that has ended, reaped or not, does not; somebody else's does."""
    ended = subprocess.Popen(["true"])
    # Without reaping it.
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert not lifetime.is_alive(ended.pid)
    ended.wait()
    assert [True, False, True] == [lifetime.is_alive(pid) for pid in (os.getpid(), ended.pid, 1)]


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19", True),
        ("OpenSSH_8.7p1, OpenSSL 3.0.1", True),
        ("OpenSSH_10.0p2, LibreSSL 3.3.6", True),
        ("OpenSSH_for_Windows_9.5p1, LibreSSL 3.8.2", True),
        ("OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1n", False),
        ("Sun_SSH_1.1", False),
    ],
)
def test_older_ssh_gets_no_unknown_options(version: str, known: bool) -> None:
    """SessionType, StdinNull and ForkAfterAuthentication came with 8.7."""
    assert known == bool(ssh.session_options(version))
