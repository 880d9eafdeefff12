"""Whether running servers have a file, read past LXD."""

from __future__ import annotations

import os
import pathlib

import pytest

from remote import rootfs


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
