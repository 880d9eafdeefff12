"""Host URLs, and what a login tells of a host."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile

import pytest

from core import lifetime
from hosts import identity, ssh, url


@pytest.mark.parametrize(
    "text",
    ["local:", "netns:grappe-ws", "ssh://lab", "ssh://root@lab.example:2222", "ssh://[::1]:22"],
)
def test_a_url_comes_back_as_it_was(text: str) -> None:
    """str(parse(x)) is x."""
    assert text == str(url.parse(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\nabc\n10.0.0.9 50000 192.168.8.10 22\n\n", identity.Identity(0, "abc", "192.168.8.10")),
        (
            "1000\nabc\n\n2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\n",
            identity.Identity(1000, "abc", "192.0.2.2"),
        ),
        ("0\nabc\n\n", identity.Identity(0, "abc", "")),
    ],
)
def test_identity(text: str, expected: identity.Identity) -> None:
    """Who we are there, which machine it is, and at which address it was reached."""
    assert expected == identity.read_identity(text)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         "not the one in known_hosts"),
        ("Host key verification failed.", "not in known_hosts"),
        ("root@lab: Permission denied (publickey).", "refuses the key"),
        ("ssh: connect to host lab port 22: Connection refused", "nothing listens"),
        ("", "no answer within 15 s"),
    ],
)  # fmt: skip
def test_why_a_host_cannot_be_reached(seen: str, words: str) -> None:
    """OpenSSH's words become ours, with what to do."""
    said = str(ssh._unreachable(url.parse("ssh://root@lab"), seen))
    assert words in said
    assert "do: " in said


def test_a_run_has_a_folder_of_its_own(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for its processes, another for another host; never one that others may enter."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lifetime, "engine", lambda: 1)
    one, other = url.parse("ssh://root@lab"), url.parse("ssh://root@lab2")
    folder = ssh._make_folder(one)
    assert folder == ssh._make_folder(one) != ssh._make_folder(other)
    assert oct(folder.stat().st_mode).endswith("700")
    folder.chmod(0o755)
    assert folder != ssh._make_folder(one)


def test_a_process_is_known_without_proc() -> None:
    """Ours runs; one that has ended does not; somebody else's does."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert [True, False, True] == [lifetime.is_alive(pid) for pid in (os.getpid(), ended.pid, 1)]
