"""Reasons why a file cannot be changed: links, immutable files, full file systems."""

from __future__ import annotations

import fcntl
import os
import pathlib
import sys
import types

import pytest

from remote import untouchable


def test_writable_file_has_no_reason(tmp_path: pathlib.Path) -> None:
    """A file, and one that is yet to be made."""
    (tmp_path / "there").touch()
    assert {} == untouchable.reasons([str(tmp_path / "there"), str(tmp_path / "new")])


def test_a_symbolic_link_is_named_with_its_target(tmp_path: pathlib.Path) -> None:
    """A rename would replace the link, not what it leads to."""
    (tmp_path / "link").symlink_to("/srv/real")
    ((reason, do),) = untouchable.reasons([str(tmp_path / "link")]).values()
    assert ("is a symbolic link to /srv/real", "make it a real file") == (reason, do)


@pytest.mark.parametrize("held", ["file", "folder"])
def test_immutable_file_or_folder_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    """The file itself or its folder, where the change is a rename; with what mends it."""
    path = tmp_path / "file"
    path.touch()
    locked = str(path if held == "file" else tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != locked)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    ((reason, do),) = untouchable.reasons([str(path)]).values()
    assert f"{locked} is immutable" in reason
    assert do.startswith(f"chattr -i {locked}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert {} == untouchable.reasons([str(path)])


@pytest.mark.parametrize(
    ("left", "full"),
    [({"f_bfree": 255}, True), ({"f_bfree": 256}, False), ({"f_ffree": 63}, True),
     ({"f_ffree": 0, "f_files": 0}, False)],
    ids=["no room", "room", "no files", "files that nobody counts"],
)  # fmt: skip
def test_full_file_system_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, int], full: bool
) -> None:
    """Without a mebibyte, or without files, with what shows it."""
    healthy = {"f_frsize": 4096, "f_bfree": 9999, "f_files": 9999, "f_ffree": 9999}
    monkeypatch.setattr(os, "statvfs", lambda _path: types.SimpleNamespace(**{**healthy, **left}))
    found = untouchable.reasons([str(tmp_path / "file")])
    reason = f"cannot be written: the file system of {tmp_path} is full"
    assert [reason] * full == [each[0] for each in found.values()]


@pytest.mark.parametrize(("flags", "named"), [(0x20, True), (0x80000, False), (0, False)])
def test_append_only_file_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, flags: int, named: bool
) -> None:
    """The kernel lets nobody replace it; other attributes forbid nothing."""
    path = tmp_path / "file"
    path.touch()

    def tell(_descriptor: int, _request: int, answer: bytearray) -> None:
        answer[:4] = flags.to_bytes(4, sys.byteorder)

    monkeypatch.setattr(fcntl, "ioctl", tell)
    found = untouchable.reasons([str(path)])
    expected = [f"may only grow: {path} is append-only", f"chattr -a {path}"]
    assert found == ({str(path): expected} if named else {})
