"""Faults in UFW's files that would keep its next start from loading the rules."""

from __future__ import annotations

import pytest

from remote.surveys import lab, programs

LOADED = "*filter\n-A ufw-before-forward -j ufw-user-forward\n"
RULES = "*filter\n:ufw-before-input - [0:0]\n-A ufw-before-input -j ACEPT\r\nCOMMIT\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        # As iptables 1.8.9 says it.
        ("iptables-restore: line 3 failed\n",
         "line 3 failed: '-A ufw-before-input -j ACEPT\\r'"),
        ("iptables-restore: COMMIT expected at line 3\n", "COMMIT expected at line 3: "),
        ("iptables-restore v1.8.9 (nf_tables): invalid port/service `9' specified\n"
         "Error occurred at line: 3\nTry `iptables-restore -h'\n",
         "invalid port/service `9' specified, line 3: "),
    ],
)  # fmt: skip
def test_a_refused_line_of_before_rules_is_shown(
    monkeypatch: pytest.MonkeyPatch, said: str, words: str
) -> None:
    """With the program's words; nothing where UFW's own chains are not there to jump to."""
    monkeypatch.setattr(lab, "_text", lambda path: RULES if path.endswith("before.rules") else "")
    monkeypatch.setattr(programs, "run", lambda _argv: (1, "", said))
    ((reason, do),) = lab._unloadable(LOADED).values()
    assert f"is refused by iptables-restore: {words}" in reason
    assert "ufw reload" in do
    assert {} == lab._unloadable("*filter\n-A INPUT -j ACCEPT\n")


@pytest.mark.parametrize(("enabled", "found"), [("no", True), ("yes", False)])
def test_rules_of_a_disabled_ufw_are_named(
    monkeypatch: pytest.MonkeyPatch, enabled: str, found: bool
) -> None:
    """A reload that failed leaves them: they drop what labs need, and nobody lets it in."""
    monkeypatch.setattr(lab, "_text", lambda _path: f"# ufw\nENABLED={enabled}\nLOGLEVEL=low\n")
    monkeypatch.setattr(programs, "run", lambda _argv: (0, "", ""))
    assert found is ("/etc/ufw/ufw.conf" in lab._unloadable(LOADED))
