"""Backends, as they stand in haproxy.cfg."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from providers.fragments.system import File
from providers.haproxy import area, model

BACKEND = model.BackendSpec(
    host="ssh://lab", owner="grappe/alice", name="yuno1", domains=("a.test",), address="10.64.1.10"
)
OTHER = dataclasses.replace(BACKEND, name="yuno2", domains=("b.test", "c.test"))


class Recorder:
    """A system that is not touched by what is pure."""

    root = ""


def compiled(*specs: model.BackendSpec, config: str = "global\n") -> str:
    made = area.HaproxyArea(Recorder(), model.frame())  # type: ignore[arg-type]
    fragments = [model.fragment(spec).as_json() for spec in specs]
    return made.compile(fragments, {area.CONFIG: File(config)})[area.CONFIG].content or ""


def test_a_backend_is_that_of_the_golden_file() -> None:
    """The sheet's forwardfor and cookie; no check, for there is nothing to choose from."""
    golden = pathlib.Path(__file__).parent / "golden" / "backend.cfg"
    assert golden.read_text() == model.fragment(BACKEND).parts["sections"]


def test_the_generation_follows_the_content() -> None:
    """The same backends give the same file, others another generation and other maps."""
    assert compiled(BACKEND, OTHER) == compiled(BACKEND, OTHER)
    assert area._generation(compiled(BACKEND)) != area._generation(compiled(BACKEND, OTHER))
    assert area._maps_in(compiled(BACKEND)) != area._maps_in(compiled(BACKEND, OTHER))


def test_nobodys_domain_is_refused_unless_one_server_is_the_default() -> None:
    """The default is explicit."""
    assert "default_backend grappe_unknown_https" in compiled(BACKEND)
    chosen = dataclasses.replace(BACKEND, default=True)
    assert "default_backend grappe.alice.yuno1.https" in compiled(chosen)


def test_the_hosts_own_bound_on_old_workers_wins() -> None:
    """Where the teacher has set one, ours is not written."""
    assert "hard-stop-after 3600s" in compiled(BACKEND)
    assert 1 == compiled(BACKEND, config="global\n  hard-stop-after 5s\n").count("hard-stop-after")


HOSTS = "global\n\ndefaults web from base\n\tmode http\n\ttimeout connect 5000\n\nlisten stats\n\tbind :9\n"


@pytest.mark.parametrize(
    ("config", "expected"),
    [(HOSTS, "defaults from base\n\tmode http\n\ttimeout connect 5000\n"),
     ("global\n  daemon\n", "defaults\n"),
     ("defaults\n  mode tcp\n# a note\ndefaults b\n  mode http\n", "defaults\n  mode http\n")],
)  # fmt: skip
def test_what_stands_below_takes_the_hosts_own_defaults(config: str, expected: str) -> None:
    """As it does where Grappe is not there."""
    assert compiled(BACKEND, config=config).endswith(f"{expected}# END GRAPPE\n")


def test_a_silent_stream_lives_as_long_as_yunohost_lets_it() -> None:
    """An hour, as its own nginx has for its API; the host's defaults do not matter."""
    text = compiled(BACKEND)
    for line in ("timeout client 1h", "timeout server 1h", "timeout tunnel 1h"):
        assert f"    {line}\n" in text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("domains", (), "At least one domain"),
        ("domains", ("a.test } use_backend x",), "is not a domain"),
        ("domains", ("A.test",), 'has capitals: "a.test"?'),
        ("address", "10.64.1.10:80", "is not an IPv4 address"),
        ("name", "yuno1\nbind", "is not a name"),
        ("http_port", 0, "is not a port"),
        ("https_port", 70000, "is not a port"),
    ],
)
def test_what_is_refused(field: str, value: object, words: str) -> None:
    """Nothing of HAProxy's syntax gets into a backend."""
    (mistake,) = dataclasses.replace(BACKEND, **{field: value}).mistakes()
    assert mistake.key.startswith(field)
    assert words in mistake.reason
