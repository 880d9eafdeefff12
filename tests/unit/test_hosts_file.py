"""Hosts entries on a workstation without root: they are printed for the user."""

from __future__ import annotations

from typing import Any

import pytest

from hosts import command
from providers.hosts_file import model, printed, resource

SPEC = model.EntrySpec(
    host="ssh://ann@workstation", owner="grappe/alice", name="yuno1", address="192.168.8.10",
    domains=("yuno1.test", "www.yuno1.test"),
)  # fmt: skip


class Workstation:
    """A workstation whose login may not become root."""

    url, etc_hosts, store, may_be_root = (
        "ssh://ann@workstation",
        "/etc/hosts",
        "/var/lib/grappe",
        False,
    )
    text = "127.0.0.1 localhost\n"

    def run(self, argv: list[str], *, root: bool = True, check: bool = True) -> Any:
        assert not root
        assert ["cat", "/etc/hosts"] == argv
        return command.CommandResult(tuple(argv), 0, self.text, "")


def test_missing_hosts_entry_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By create and every read until it exists; delete prints the line to remove."""
    workstation = Workstation()
    driver = resource.EntryProvider().driver(workstation)  # type: ignore[arg-type]
    assert isinstance(driver, printed.PrintedDriver)
    driver.create(SPEC)
    assert "needs this line in /etc/hosts" in capsys.readouterr().out
    assert "" == driver.read(SPEC).drift
    assert "192.168.8.10 yuno1.test www.yuno1.test" in capsys.readouterr().out
    driver.delete(SPEC)
    assert "" == capsys.readouterr().out
    workstation.text += "192.168.8.10\tyuno1.test  www.yuno1.test # lab\n"
    driver.update(SPEC, SPEC)
    assert "" == capsys.readouterr().out
    driver.delete(SPEC)
    assert "no longer needs this line in /etc/hosts" in capsys.readouterr().out
