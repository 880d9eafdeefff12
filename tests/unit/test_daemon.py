"""LXD's client, as far as its words alone decide."""

from __future__ import annotations

from typing import Any

import pytest

from core import errors
from providers.lxd import daemon


@pytest.mark.parametrize(
    "error",
    [
        daemon.AbsentError("instances/x/logs/exec_1.stdout"),
        errors.DaemonError(
            "LXD refused", seen="open /var/log/lxd/x/exec_1.stdout: no such file or directory"
        ),
    ],
)
def test_a_log_that_lxd_has_not_opened_yet_is_empty(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LXD opens a program's log after it has answered; another refusal is one."""
    lxd = daemon.Lxd(None)  # type: ignore[arg-type]
    told: list[Exception] = [error]

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise told[0]

    monkeypatch.setattr(lxd, "_send", refuse)
    assert b"" == lxd._read_log("instances/x/logs/exec_1.stdout", {})
    told[0] = errors.DaemonError("LXD refused", seen="permission denied")
    with pytest.raises(errors.DaemonError):
        lxd._read_log("instances/x/logs/exec_1.stdout", {})
