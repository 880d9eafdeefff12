"""The configuration files that HAProxy's systemd unit loads."""

from __future__ import annotations

import pathlib

import pytest

from remote import haproxy_unit
from remote.unmanaged import haproxy

DEBIAN = (
    "MainPID=311\n"
    "ExecStart={ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE "
    "$EXTRAOPTS ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; "
    "status=0/0 }\n"
    'Environment=CONFIG=/etc/haproxy/haproxy.cfg PIDFILE=/run/haproxy.pid "EXTRAOPTS=-S /run/m.sock"\n'
    "EnvironmentFiles=/etc/default/haproxy (ignore_errors=yes)\n"
)
MAIN = haproxy_unit.CONFIG


@pytest.mark.parametrize(
    ("default", "files"),
    [
        ("", [MAIN]),
        ('# Add extra flags here\n#EXTRAOPTS="-de -m 16"\n', [MAIN]),
        ('CONFIG="/etc/haproxy/site.cfg"\n', ["/etc/haproxy/site.cfg"]),
        ("CONFIG=/srv/a.cfg\nEXTRAOPTS='-S /run/m.sock -f /etc/haproxy/haproxy.cfg'\n",
         ["/srv/a.cfg", MAIN]),
        ('EXTRAOPTS="-f /srv/b.cfg -S /run/m.sock"\n', [MAIN, "/srv/b.cfg"]),
        ('export EXTRAOPTS="-f /srv/b.cfg', [MAIN, "/srv/b.cfg"]),
        ('EXTRAOPTS="-S /run/m.sock -- /srv/b.cfg /srv/c.cfg"\n', [MAIN, "/srv/b.cfg", "/srv/c.cfg"]),
        ('EXTRAOPTS="-S /run/m.sock \\\n -f /srv/b.cfg"\n', [MAIN, "/srv/b.cfg"]),
    ],
)  # fmt: skip
def test_files_of_the_unit_are_listed_in_order(default: str, files: list[str]) -> None:
    """In their order, by the unit's own words and by those of its file of variables."""
    unit = haproxy_unit.parse(DEBIAN, {"/etc/default/haproxy": default}.get)  # type: ignore[arg-type]
    assert files == unit.files
    assert unit.pid == 311


def test_folder_stands_for_its_cfg_files(tmp_path: pathlib.Path) -> None:
    """As HAProxy takes them: those that end in .cfg, none that begins with a dot."""
    for name in ("20-b.cfg", "10-a.cfg", ".hidden.cfg", "notes.txt"):
        (tmp_path / name).touch()
    default = f'EXTRAOPTS="-f {tmp_path}"'
    unit = haproxy_unit.parse(DEBIAN, {"/etc/default/haproxy": default}.get)  # type: ignore[arg-type]
    assert [MAIN, f"{tmp_path}/10-a.cfg", f"{tmp_path}/20-b.cfg"] == unit.files
    assert unit.check("/x.cfg")[:5] == ["haproxy", "-W", "-c", "-f", "/x.cfg"]
    assert unit.check("/x.cfg")[-1] == f"{tmp_path}/20-b.cfg"


def test_a_host_without_the_unit_has_debians_file() -> None:
    """Nothing is known of it: the file is the one that Grappe writes to."""
    unit = haproxy_unit.parse("", lambda _path: "")
    assert ([MAIN], 0) == (unit.files, unit.pid)
    assert unit.check("/x.cfg") == ["haproxy", "-W", "-c", "-f", "/x.cfg"]


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ('bind "*:${WEB_PORT}"', {80}), ("bind ':80'", {80}), ('bind ":$WEB_PORT"', {80}),
        ("bind :${NONE-}80", {80}), ('bind "*:${NONE-80}"', {80}),
        ('bind "*:${WEB_PORT-8080}"', {80}), ("bind :8080 # :80", {8080}), ("bind '", set()),
        (r"bind \:443 ssl crt /x", {443}),
    ],
)  # fmt: skip
def test_ports_of_a_quoted_bind_line_are_found(line: str, ports: set[int]) -> None:
    """Quoted in any way that HAProxy takes, and by variables."""
    found = haproxy.binds(line, {"WEB_PORT": "80"})
    assert ports == {port for _number, listed, _line in found for port in listed}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  default-path config", "  default-path origin /etc/haproxy"),
        ("default-path parent", "default-path origin /etc"),
        ("default-path current", "default-path current"), ("# default-path config", "# default-path config"),
    ],
)  # fmt: skip
def test_a_copy_finds_the_files_of_the_original(line: str, expected: str) -> None:
    """Paths beside haproxy.cfg stay so, wherever the copy is checked."""
    assert f"global\n{expected}\n" == haproxy_unit.detached(f"global\n{line}\n")
