"""HAProxy backends: the managed part, the maps, and the commands that change loaded maps."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest

from checks import conflicts
from core import validators
from providers.haproxy import model
from remote import haproxy_maps, managed_block, running_haproxy
from remote.system import File, RefusedError, Result
from remote.targets import haproxy
from remote.unmanaged import haproxy as unmanaged

BACKEND = model.BackendSpec(
    host="ssh://lab", owner="grappe/alice", name="yuno1", domains=("a.test",), address="10.64.1.10"
)
OTHER = dataclasses.replace(BACKEND, name="yuno2", domains=("b.test", "c.test"))


class Recorder:
    """A system with HAProxy's unit and these other files, which nothing changes."""

    root = ""

    def __init__(self, others: dict[str, str]) -> None:
        self._others = others

    def run(self, _argv: list[str]) -> Result:
        """Show a unit that loads the other files, and haproxy.cfg after them."""
        loads = " ".join(f"-f {path}" for path in [*self._others, haproxy.CONFIG])
        return Result(0, f"ExecStart={{ argv[]=/usr/sbin/haproxy -Ws {loads} ; }}\n", "")

    def read(self, path: str) -> File:
        """Return another file."""
        return File(self._others.get(path))


def files(*specs: model.BackendSpec, config: str = "global\n", **others: str) -> dict[str, str]:
    made = haproxy.HaproxyTarget(Recorder(others), model.shared_sections())  # type: ignore[arg-type]
    fragments = [model.fragment(spec).as_json() for spec in specs]
    compiled = made.compile(fragments, {haproxy.CONFIG: File(config)})
    return {path: file.content or "" for path, file in compiled.items()}


def compiled(*specs: model.BackendSpec, config: str = "global\n") -> str:
    return files(*specs, config=config)[haproxy.CONFIG]


def states(*specs: model.BackendSpec) -> dict[str, str]:
    found = dict(haproxy_maps.entries(files(*specs)[haproxy_maps.STATES]))
    del found[haproxy_maps.GENERATION]
    return found


def test_managed_part_matches_the_golden_file() -> None:
    """It does not depend on the backends, which are in two maps."""
    golden = pathlib.Path(__file__).parent / "golden" / "haproxy.cfg"
    part = managed_block.split(compiled(BACKEND)).body or ""
    assert golden.read_text() == part
    assert part == managed_block.split(compiled(BACKEND, OTHER)).body


def test_domain_has_a_line_in_each_map() -> None:
    """Routes have its address, below a comment with the owner; states its server's state."""
    routes = "# grappe/alice: yuno2\nb.test 10.64.1.10\nc.test 10.64.1.10\n"
    assert routes == files(OTHER)[haproxy_maps.ROUTES]
    assert {"b.test": "up", "c.test": "up"} == states(OTHER)


def test_the_generation_follows_the_maps() -> None:
    """The same backends give the same, others another."""
    one, again, other = (
        haproxy_maps.generation(files(*specs)[haproxy_maps.STATES])
        for specs in ((BACKEND, OTHER), (BACKEND, OTHER), (BACKEND,))
    )
    assert one == again
    assert one != other


def test_default_server_has_a_line_in_the_routes() -> None:
    """Only if one is set; its key is no valid domain."""
    assert haproxy_maps.DEFAULT not in dict(
        haproxy_maps.entries(files(BACKEND)[haproxy_maps.ROUTES])
    )
    chosen = dataclasses.replace(BACKEND, default=True)
    assert (
        BACKEND.address
        == dict(haproxy_maps.entries(files(chosen)[haproxy_maps.ROUTES]))[haproxy_maps.DEFAULT]
    )
    assert "is not a domain" in validators.problem_of_domain(haproxy_maps.DEFAULT)


def test_installing_page_gives_way_to_the_servers_backend() -> None:
    """Until then the domain's state is `installing`, and HAProxy answers with a page."""
    page = dataclasses.replace(
        BACKEND, name="yuno1-page", state=haproxy_maps.INSTALLING, default=True
    )
    assert {"a.test": haproxy_maps.INSTALLING, "default": haproxy_maps.INSTALLING} == states(page)
    assert {"a.test": haproxy_maps.UP} == states(BACKEND, page)
    stopped = dataclasses.replace(BACKEND, state=haproxy_maps.STOPPED)
    assert {"a.test": haproxy_maps.STOPPED} == states(page, stopped)


def test_fragment_of_an_older_version_is_routed() -> None:
    """Its fragments have no state, and parts that nobody reads any more."""
    old = model.fragment(BACKEND).as_json()
    parts = {"domains": ["a.test"], "label": "grappe.alice.yuno1", "default": False,
             "sections": "backend x\n"}  # fmt: skip
    made = haproxy.HaproxyTarget(Recorder({}), model.shared_sections())  # type: ignore[arg-type]
    there = made.compile([{**old, "parts": parts}], {haproxy.CONFIG: File("global\n")})
    assert files(BACKEND)[haproxy_maps.STATES] == there[haproxy_maps.STATES].content


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ([], ["add map R a.test 10.64.1.10", "add map S generation G", "add map S a.test up"]),
        ([("a.test", "10.64.1.9")], ["set map R a.test 10.64.1.10"]),
        ([("a.test", "10.64.1.10"), ("a.test", "1.2.3.4")],
         ["del map R a.test", "add map R a.test 10.64.1.10"]),
        ([("a.test", "10.64.1.10"), ("z.test", "1.2.3.4")], ["del map R z.test"]),
    ],
)  # fmt: skip
def test_commands_update_a_loaded_map_to_its_file(
    live: list[tuple[str, str]], expected: list[str]
) -> None:
    """They add missing keys, set changed values, and delete duplicate and extra keys."""
    texts = files(BACKEND)
    had = [] if not live else haproxy_maps.entries(texts[haproxy_maps.STATES])
    found = haproxy_maps.commands({haproxy_maps.ROUTES: live, haproxy_maps.STATES: had}, texts)
    assert sorted(expected) == sorted(_short(line, texts) for line in found)
    if not live:
        assert f"add map {haproxy_maps.STATES} {haproxy_maps.GENERATION}" in found[-1]


def test_a_state_never_outlives_its_route() -> None:
    """It is added after the route, and deleted before it."""
    both, one = files(BACKEND, OTHER), files(BACKEND)
    live = {
        path: haproxy_maps.entries(both[path])
        for path in (haproxy_maps.ROUTES, haproxy_maps.STATES)
    }
    found = [_short(line, one) for line in haproxy_maps.commands(live, one)]
    assert found.index("del map S b.test") < found.index("del map R b.test")
    live = {
        path: haproxy_maps.entries(one[path]) for path in (haproxy_maps.ROUTES, haproxy_maps.STATES)
    }
    found = [_short(line, both) for line in haproxy_maps.commands(live, both)]
    assert found.index("add map R b.test 10.64.1.10") < found.index("add map S b.test up")


def _short(line: str, texts: dict[str, str]) -> str:
    generation = haproxy_maps.generation(texts[haproxy_maps.STATES])
    return (
        line.replace(haproxy_maps.ROUTES, "R")
        .replace(haproxy_maps.STATES, "S")
        .replace(generation, "G")
    )


@pytest.mark.parametrize(
    "change",
    [{"address": "1.2.3.4; del map x"}, {"domains": ("a.test 1.2.3.4\nb.test",)}],
    ids=["a command", "two lines"],
)
def test_edited_fragment_cannot_inject_map_lines(change: dict[str, Any]) -> None:
    """A value of an edited fragment with a command or a line break is refused."""
    with pytest.raises(RefusedError, match="grappe/alice/yuno1 was changed by hand"):
        files(dataclasses.replace(BACKEND, **change))


@pytest.mark.parametrize(
    ("outside", "expected"),
    [("global\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\n", "/run/haproxy"),
     ("global\n  stats socket ipv4@127.0.0.1:9999\n", "/run"), ("", "/run")],
)  # fmt: skip
def test_socket_is_beside_the_hosts_own(outside: str, expected: str) -> None:
    """Where HAProxy may write."""
    assert f"{expected}/grappe.sock" == running_haproxy.runtime(outside)
    assert (
        f"{expected}/grappe.sock" == running_haproxy.sockets(compiled(BACKEND, config=outside))[0]
    )


def test_hosts_own_hard_stop_after_wins() -> None:
    """Where the teacher has set one, ours is not written."""
    assert "hard-stop-after 3600s" in compiled(BACKEND)
    assert 1 == compiled(BACKEND, config="global\n  hard-stop-after 5s\n").count("hard-stop-after")


HOSTS = "global\n\ndefaults web from base\n\tmode http\n\ttimeout connect 5000\n\nlisten stats\n\tbind :9\n"


@pytest.mark.parametrize(
    ("config", "expected"),
    [(HOSTS, "defaults web-below-grappe from base\n\tmode http\n\ttimeout connect 5000\n"),
     ("global\n  daemon\n", "defaults\n"),
     ("global\ndaemon\ndefaults\nmode http\ntimeout client 5s\nlisten a\nbind :9\n",
      "defaults\nmode http\ntimeout client 5s\n"),
     ("  defaults  # of all\n    mode http\n  frontend a\n    bind :9\n", "  defaults  # of all\n    mode http\n"),
     (".if defined(X)\ndefaults\n  mode tcp\n.endif\n", "defaults\n  mode tcp\n"),
     ("defaults\n  mode tcp\n  .if defined(X)\n  maxconn 9\n  .endif\n.if defined(Y)\nfrontend a\n  bind :9\n.endif\n",
      "defaults\n  mode tcp\n  .if defined(X)\n  maxconn 9\n  .endif\n"),
     ("defaults\n  mode tcp\n# a note\ndefaults b\n  mode http\n", "defaults b-below-grappe\n  mode http\n")],
)  # fmt: skip
def test_sections_below_keep_the_hosts_defaults(config: str, expected: str) -> None:
    """The managed part ends with a copy of the last `defaults` above it."""
    assert compiled(BACKEND, config=config).endswith(f"{expected}# END GRAPPE\n")


def test_defaults_of_an_earlier_file_hold_below_too() -> None:
    """Those in haproxy.cfg itself come later, and win."""
    found = files(BACKEND, first="defaults\n  mode http\n", second="frontend a\n  bind :9\n")
    assert found[haproxy.CONFIG].endswith("rule.\ndefaults\n  mode http\n# END GRAPPE\n")
    found = files(BACKEND, config="defaults\n  mode tcp\n", first="defaults\n  mode http\n")
    assert found[haproxy.CONFIG].endswith("rule.\ndefaults\n  mode tcp\n# END GRAPPE\n")


def test_silent_stream_has_a_timeout_of_one_hour() -> None:
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
        ("state", "asleep", "is not one of"),
    ],
)
def test_backend_refuses_haproxy_syntax(field: str, value: object, words: str) -> None:
    """Nothing of HAProxy's syntax gets into a backend."""
    (mistake,) = dataclasses.replace(BACKEND, **{field: value}).mistakes()
    assert mistake.key.startswith(field)
    assert words in mistake.reason


def test_checks_know_the_names_of_our_sections() -> None:
    """Others' sections of those names are refused before ours are written."""
    part = managed_block.split(compiled(BACKEND)).body or ""
    named = {name for _kind, name, _body in unmanaged.sections(part) if name.startswith("grappe")}
    assert set(conflicts.OUR_SECTIONS) == named
