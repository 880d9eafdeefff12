"""Whether systemd-networkd takes over labs' bridges, by its files."""

from __future__ import annotations

import pathlib

import pytest

from checks import conflicts
from remote.surveys import networkd, programs

DHCP = "[Network]\nDHCP=yes\n"


@pytest.fixture
def etc(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An own folder of networkd, before the distribution's; networkd runs."""
    own, distribution = tmp_path / "etc", tmp_path / "lib"
    for folder in (own, distribution):
        folder.mkdir()
    monkeypatch.setattr(networkd, "FOLDERS", (str(own), str(tmp_path / "no"), str(distribution)))
    monkeypatch.setattr(programs, "run", lambda _argv: (0, "", ""))
    (distribution / "80-container-vb.network").write_text("[Match]\nKind=bridge\nName=vb-*\n")
    return own


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (f"[Match]\nName=*\n\n{DHCP}", True),
        (f"# all\n[Match]\nName=en* gr*\n{DHCP}", True),
        (f"[Match]\nName=!lo eth0\n{DHCP}", True),
        (f"[Match]\nType=bridge\n{DHCP}", True),
        (f"[Match]\nName=*\nHost=lab\n{DHCP}", True),
        (f"[Match]\nName=e* \\\n  gr-*\n{DHCP}", True),
        (f"[Match]\nName=*\nName=\nName=eth0\n{DHCP}", False),
        (f"[Match]\nName=en*\n{DHCP}", False),
        (f"[Match]\nName=!gr-* veth*\n{DHCP}", False),
        # The host's ends of servers' links lose their bridge.
        (f"[Match]\nName=!gr-*\n{DHCP}", True),
        (f"[Match]\nType=ether\n{DHCP}", True),
        (f"[Match]\nKind=veth\n{DHCP}", True),
        (f"[Match]\nType=ether\n{DHCP}KeepMaster=yes\n", False),
        (f"[Match]\nName=e*\nType=ether\n{DHCP}", False),
        (f"[Match]\nName=*\nMACAddress=00:16:3e:00:00:01\n{DHCP}", False),
        (f"[Match]\n;Name=*\n{DHCP}", False),
        (DHCP, False),
        ("[Match]\nName=*\n[Link]\nUnmanaged=yes\n", False),
        ("[Match]\nName=*\n[Network]\nDHCP=yes\nKeepConfiguration=static\n", True),
        ("[Match]\nName=*\n[Network]\nKeepConfiguration=static\nKeepMaster=1\n", False),
    ],
)
def test_file_that_matches_a_bridge_takes_it(etc: pathlib.Path, text: str, taken: bool) -> None:
    (etc / "20-all.network").write_text(text)
    assert networkd.main() == (str(etc / "20-all.network") if taken else "")


def test_first_file_that_matches_counts(etc: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy of the refusal is one; and a networkd that does not run takes nothing."""
    (etc / "20-all.network").write_text(f"[Match]\nName=*\n{DHCP}")
    assert networkd.main()
    [(problem, do)] = conflicts._bridges_taken({"networkd": networkd.main(), "listening": []})
    assert "20-all.network" in problem
    text = do.partition("printf '")[2].partition("'")[0].replace(r"\n", "\n")
    (etc / pathlib.Path(conflicts.NETWORKD_FILE).name).write_text(text)
    assert networkd.main() == ""
    (etc / pathlib.Path(conflicts.NETWORKD_FILE).name).unlink()
    monkeypatch.setattr(programs, "run", lambda _argv: (3, "inactive", ""))
    assert networkd.main() == ""
