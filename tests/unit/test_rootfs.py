"""Whether running servers have a file, read past LXD."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from remote import rootfs
from remote.surveys import health


def test_file_of_a_running_server_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped server has no first process: it is not in the answer. A broken link is a file."""
    monkeypatch.setattr(rootfs, "FIRST", f"{tmp_path}/%s")
    (tmp_path / "grappe-a_yuno1").write_text(f"{os.getpid()}\n1\n")
    (tmp_path / "grappe-a_dead").write_text("0\n")
    (tmp_path / "grappe-a_empty").write_text("")
    (tmp_path / "link").symlink_to("/nowhere")
    names = ["grappe-a_yuno1", "grappe-a_dead", "grappe-a_empty", "grappe-a_stopped"]
    there = {"names": names, "path": f"{tmp_path}/link"}
    assert rootfs.main(there) == {"grappe-a_yuno1": True}
    assert rootfs.main({**there, "path": f"{tmp_path}/no"}) == {"grappe-a_yuno1": False}


def test_server_whose_lxcfs_died_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are there and answer nothing; nobody opens what may be the student's."""
    monkeypatch.setattr(rootfs, "FIRST", f"{tmp_path}/lxc.payload.%s/init.scope/cgroup.procs")
    for name, pid in (("grappe-a_yuno1", 11), ("grappe-a_yuno2", 12), ("grappe-b_yuno1", 13)):
        path = pathlib.Path(rootfs.FIRST % name)
        path.parent.mkdir(parents=True)
        path.write_text(f"{pid}\n")

    def lstat(path: str) -> None:
        if path == "/proc/11/root/proc/meminfo":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if path == "/proc/12/root/proc/meminfo":
            raise FileNotFoundError(errno.ENOENT, "it has ended meanwhile")

    monkeypatch.setattr(health.os, "lstat", lstat)
    found = list(health._unreadable())
    monkeypatch.undo()
    assert found == ["grappe-a_yuno1"]
