"""Stack files: allocation by a student's number, defaults, and refused settings."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import pathlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core import problems
from core.names import MAX_NUMBER, MIN_NUMBER
from stacks import allocation, declaration, files, golden, kinds, plan, settings, spec

ROOT = pathlib.Path(__file__).parent.parent.parent
GOOD = {"grappe:host": "ssh://lab", "grappe:number": "7"}

numbers = st.integers(MIN_NUMBER, MAX_NUMBER)
indexes = st.integers(0, allocation.MAX_SERVERS - 1)


def parse(**changes: Any) -> spec.LabSpec:
    given_texts = {
        f"grappe:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in changes.items()
    }
    return spec.parse({**GOOD, **given_texts}, project="grappe", stack="alice")


@pytest.mark.parametrize(
    ("number", "index", "expected"),
    [
        (1, 0, (22222, "gr-1", "10.64.1.1", "10.64.1.10", "10.64.1.0/24")),
        (1, 1, (22223, "gr-1", "10.64.1.1", "10.64.1.11", "10.64.1.0/24")),
        (7, 1, (22283, "gr-7", "10.64.7.1", "10.64.7.11", "10.64.7.0/24")),
        (256, 0, (24772, "gr-256", "10.65.0.1", "10.65.0.10", "10.65.0.0/24")),
        (4000, 9, (62221, "gr-4000", "10.79.160.1", "10.79.160.19", "10.79.160.0/24")),
    ],
)
def test_allocation_table_is_frozen(number: int, index: int, expected: tuple[Any, ...]) -> None:
    """Labs that exist depend on it."""
    assert expected == (
        allocation.ssh_port(number, index), allocation.bridge(number), allocation.gateway(number),
        allocation.address(number, index), allocation.subnet(number),
    )  # fmt: skip


@given(numbers, indexes, numbers, indexes)
def test_allocation_never_collides(number: int, index: int, other: int, other_index: int) -> None:
    """Two servers never share a port or an address, nor two students a network."""
    if (number, index) != (other, other_index):
        assert allocation.ssh_port(number, index) != allocation.ssh_port(other, other_index)
        assert allocation.address(number, index) != allocation.address(other, other_index)
    if number != other:
        one, two = (ipaddress.IPv4Network(allocation.subnet(n)) for n in (number, other))
        assert not one.overlaps(two)


@given(numbers, indexes)
def test_allocation_stays_in_range(number: int, index: int) -> None:
    """Ports are ports, addresses are on the bridge, its name fits."""
    assert 1024 < allocation.ssh_port(number, index) <= 65535
    subnet = ipaddress.IPv4Network(allocation.subnet(number))
    assert ipaddress.IPv4Address(allocation.address(number, index)) in subnet
    assert len(allocation.bridge(number)) <= 15


def test_host_and_number_are_enough() -> None:
    """All other settings follow from them."""
    lab = parse()
    assert ("grappe/alice", "alice", "grappe-alice", "gr-7") == (
        lab.owner, lab.student, lab.project, lab.bridge,
    )  # fmt: skip
    assert [("yuno1", "yuno1.alice.grappe.test", 22282, "10.64.7.10"),
            ("yuno2", "yuno2.alice.grappe.test", 22283, "10.64.7.11")] == [
        (server.name, server.domain, server.port, server.address) for server in lab.servers
    ]  # fmt: skip


def test_servers_own_settings_win_over_the_stacks() -> None:
    """Limits are merged by key."""
    own = {"name": "web", "domain": "a.example.org", "port": 30000, "address": "10.64.7.99",
           "image": "other", "state": "stopped", "limits": {"cpu": "1"}}  # fmt: skip
    (server,) = parse(servers=[own], limits={"cpu": "2", "memory": "1GiB"}).servers
    found = dataclasses.asdict(server)
    assert {**own, "limits": {"cpu": "1", "memory": "1GiB"}}.items() <= found.items()


def test_server_takes_all_rare_settings() -> None:
    """Devices, volumes with their devices, snapshots, configuration over the stack's, a recipe."""
    own = {"name": "a", "config": {"boot.autostart.priority": "5"},
           "devices": {"web": {"type": "proxy", "listen": "tcp:0.0.0.0:81", "connect": "tcp:127.0.0.1:80"}},
           "volumes": [{"name": "data", "path": "/srv/data", "size": "1GiB"}],
           "snapshots": ["clean"], "recipe": "standin", "publish": "mine"}  # fmt: skip
    (server,) = parse(servers=[own], config={"user.x": "y"}).servers
    assert {"user.x": "y", "boot.autostart.priority": "5"} == server.config
    data = {"type": "disk", "pool": "default", "source": "data", "path": "/srv/data"}
    assert {**own["devices"], "data": data} == server.devices  # type: ignore[dict-item]
    assert server.read is not None
    assert ("standin", "mine", ("clean",)) == (server.read.name, server.publish, server.snapshots)


def test_language_changes_no_resource() -> None:
    """An `up` after a change of it has nothing to do."""
    assert "fr" == parse(language="fr").language
    assert plan.plan(parse()) == plan.plan(parse(language="fr"))


def test_password_in_plain_is_refused() -> None:
    """In plain it is refused, and not shown; so is one that YunoHost would refuse."""
    config = {**GOOD, "grappe:password": "correct horse"}
    with pytest.raises(problems.Mistakes, match="grappe:password is in plain") as found:
        spec.parse(config, project="grappe", stack="alice")
    assert "correct horse" not in str(found.value)
    lab = spec.parse(config, project="grappe", stack="alice", secrets=["grappe:password"])
    assert lab.post_install
    assert "correct horse" not in repr(lab)
    config["grappe:password"] = "short"
    with pytest.raises(problems.Mistakes, match="8 to 126 printable"):
        spec.parse(config, project="grappe", stack="alice", secrets=["grappe:password"])


def test_each_kind_has_its_own_settings() -> None:
    """A student's setting in an image's file is told as such; the engine's defaults are not."""
    given_texts = {"grappe:kind": "image", "grappe:host": "ssh://lab", "grappe:recipe": "standin",
                   "grappe:servers": '[{"name": "yuno1"}, {"name": "yuno2"}]'}  # fmt: skip
    made = kinds.parse(given_texts, project="grappe", stack="golden")
    assert isinstance(made, golden.GoldenSpec)
    assert ("standin", "gr-i1", "10.80.1.10") == (made.alias, made.bridge, made.address)
    with pytest.raises(problems.Mistakes, match="another kind of stack than image"):
        kinds.parse({**given_texts, "grappe:domain": "x.test"}, project="grappe", stack="golden")
    with pytest.raises(problems.Mistakes, match="Did you mean image"):
        kinds.parse({"grappe:kind": "imgae"}, project="grappe", stack="golden")


MISTAKES = {
    "number": [(0, "is not a student's number"), (4001, "is out of range. 1 to 4000"),
               ("seven", "is not a whole number"), (-1, "is out of range")],
    "host": [("", "is empty"), ("lab", "is not the URL of a host"),
             ("ssh://a:b@c", '"ssh://a:***@c" has a password'), ("ssh://", "no valid host name"),
             ("ssh://-oProxyCommand=x", "no valid host name"), ("ssh://h/p", "more than user, host"),
             ("ssh://h:0x", "is not a URL"), ("ssh://u;x@h", "invalid user name")],
    "workstation": [("ws", "or none")],
    "student": [("a b", "has a space"), ("x" * 57, "at most 56"), ("7up", "is not a name")],
    "domain": [("test", "is not a domain"), ("a..b", "is not a domain"), ("a.1", "is not a dom")],
    "address": [("10.0.0", "is not an IPv4 address"), ("0.0.0.0", "of one machine")],
    "interface": [("eth0; reboot", "is not the name of an interface"), ("x" * 16, "At most 15")],
    "default": [("nobody", "is not one of the servers: yuno1, yuno2")],
    "language": [("de", "is not one of the languages: en, fr. Left out, the locale decides."),
                 ("FR", "is not one of the languages")],
    "limits": [({"a b": "1"}, "its key is not one of LXD's limits"), ({"cpu": [1]}, "is not a text")],
    "config": [({"user.a": "x\x1by"}, "has control characters"), ({"a": "x"}, "is not a setting of LXD")],
    "servers": [([], "1 to 10"), ([{"name": f"s{n}"} for n in range(11)], "1 to 10"),
                ([{"name": "a", "image": "x y"}], "is not an image"),
                ([{"name": "a", "state": "on"}], "running or stopped"),
                ([{"name": "a", "address": "10.64.7.1"}], "is not free on the student's bridge"),
                ([{"name": "a", "port": 443}], "the lab host's own"),
                ([{"name": "a", "port": 0}], "0 is not a port"),
                ([{"name": "a", "domain": "A.b"}], 'has capitals: "a.b"?'),
                ([{"name": "a", "recipe": "standn"}], "Did you mean standin?"),
                ([{"name": "a", "publish": "a b"}], "is not an alias"),
                ([{"name": "a", "publish": "x"}, {"name": "a-published"}],
                 "is the name of the copy that servers[0].publish makes"),
                ([{"name": "a" * 40, "publish": "x"}, {"name": "a" * 41, "publish": "y"}],
                 "needs the copy that servers[0].publish makes"),
                ([{"name": "a", "devices": {"x": {"type": "dsk"}}}], "is not a type of device"),
                ([{"name": "a", "devices": {"x": {"type": "disk"}}}], "a disk has one"),
                ([{"name": "a", "devices": {"eth0": {"type": "none"}}}], "Grappe's own"),
                ([{"name": "a", "volumes": [{"name": "v", "path": "x"}]}], "is not an absolute path"),
                ([{"name": "a", "volumes": [{"name": "v", "path": "/x"}, {"name": "w", "path": "/x"}]}],
                 "another volume's already, of this server"),
                ([{"name": "a", "volumes": [{"name": "v", "path": "/x", "size": "lots"}]}],
                 "is not a size"),
                ([{"name": "a", "volumes": [{"name": "v", "path": "/x"}],
                   "devices": {"d": {"type": "disk", "source": "/srv", "path": "/x"}}}],
                 "is where v is mounted already"),
                ([{"name": "a", "target": "a b"}], "has a space"),
                ([{"name": "a", "target": "-m1.lan"}], "is not a name of LXD's"),
                ([{"name": "a", "limits": {"memory": "2G"}}], '"2GiB", or "2GB"?'),
                ([{"name": "a", "limits": {"cpu": "1", "3": ""}}], "Is it behind a comma?"),
                ([{"name": "a", "limits": {"cpu": "3-1"}}], "from the higher to the lower"),
                ([{"name": "a", "limits": {"processes": "5"}}], "too little for a server to boot"),
                ([{"name": "a", "config": {"boot.autostrt": ""}}], "Did you mean boot.autostart?"),
                ([{"name": "a", "volumes": [{"name": "v", "path": "/x"}, {"name": "w", "path": "/x/"}]}],
                 "another volume's already, of this server"),
                ([{"name": "a", "devices": {"p": {"type": "proxy", "listen": "tcp:0.0.0.0:80-90-100",
                                                  "connect": "tcp:127.0.0.1:80"}}}], "has 80-90-100 for ports"),
                ([{"name": "a", "config": {"boot.autostart": "oui"}}], "true or false"),
                ([{"name": "a", "devices": {"x": {"type": "none", "a": "b\nc"}}}], "control")],
    "login": [("Root!", "is not the name of a user")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [(key, value, words) for key, cases in MISTAKES.items() for value, words in cases],
)
def test_stack_file_refuses_with_key_and_remedy(key: str, value: Any, words: str) -> None:
    """Each mistake has its key and says what would be right."""
    with pytest.raises(problems.Mistakes) as found:
        parse(**{key: value})
    (mistake, *_more) = found.value.mistakes
    assert mistake.key.startswith(f"grappe:{key}")
    assert any(words in item.reason for item in found.value.mistakes)


def test_mistakes_of_items_have_the_index_that_the_file_has() -> None:
    """Each once, also behind an item that is no group at all, and without a wrong count."""
    with pytest.raises(problems.Mistakes) as found:
        parse(servers=["yuno1", {"name": "bad name"}, {"name": "a", "port": "22"}], default="a")
    keys = [each.key for each in found.value.mistakes]
    assert ["grappe:servers[0]", "grappe:servers[1].name", "grappe:servers[2].port"] == keys
    assert "Without quotes: 22." in found.value.mistakes[2].reason


def test_two_servers_without_a_name_have_no_domain_in_common() -> None:
    """What follows from a mistake is none of its own."""
    with pytest.raises(problems.Mistakes) as found:
        parse(servers=[{"name": 12}, {"name": 1.5}])
    assert {"grappe:servers[0].name", "grappe:servers[1].name"} == {
        mistake.key for mistake in found.value.mistakes
    }


def test_mistakes_match_the_golden_file() -> None:
    """Every line of it, word for word."""
    golden = pathlib.Path(__file__).parent / "golden"
    written = json.loads((golden / "mistakes.json").read_text())
    texts = {
        f"grappe:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in written.items()
    }
    with pytest.raises(problems.Mistakes) as found:
        spec.parse(texts, project="grappe", stack="bob")
    told = "\n".join(f"{m.key} {m.reason}" for m in found.value.mistakes)
    expected = (golden / "mistakes.txt").read_text().splitlines()[1:]
    assert [" ".join(line.split()) for line in expected] == [
        " ".join(line.split()) for line in told.splitlines()
    ]


def test_an_empty_password_is_refused() -> None:
    """`check` would wait for a post-installation that no `up` makes."""
    config = {**GOOD, "grappe:password": ""}
    spec.parse(config, project="grappe", stack="alice")
    with pytest.raises(problems.Mistakes, match="grappe:password is empty: pulumi config rm"):
        spec.parse(config, project="grappe", stack="alice", secrets=["grappe:password"])


def test_mistakes_behind_one_of_a_wrong_type_keep_their_places() -> None:
    """Of a list of texts; each is told once."""
    with pytest.raises(problems.Mistakes) as found:
        parse(servers=[{"name": "a", "snapshots": ["a", {"name": "b"}, "c d", "a/b", None]}])
    keys = [mistake.key for mistake in found.value.mistakes]
    assert sorted(keys) == [f"grappe:servers[0].snapshots[{index}]" for index in (1, 2, 3, 4)]


def test_a_secret_is_refused_and_not_shown() -> None:
    """A setting other than the password is stored in plain text, so it takes no secret."""
    config = {**GOOD, "grappe:config": '{"user.x": "hunter2"}'}
    with pytest.raises(problems.Mistakes) as found:
        spec.parse(config, project="grappe", stack="alice", secrets=["grappe:config"])
    assert "grappe:config is a secret" in str(found.value)
    assert "hunter2" not in str(found.value)


def test_the_lab_host_is_no_workstation_of_its_own() -> None:
    """Its own connections would pass no NAT rule, and every probe would fail."""
    with pytest.raises(problems.Mistakes, match="whose own connections pass no NAT rule"):
        parse(host="local:")
    assert parse(host="local:", workstation="none").host == "local:"


def test_a_mistake_does_not_hide_another() -> None:
    """Wrong types, unknown keys and wrong values are told together, sorted by key."""
    with pytest.raises(problems.Mistakes) as found:
        parse(number="x", imgae="y", domain="z", servers=[{"nmae": "a"}, {"name": "b", "port": 22}])
    assert ["grappe:domain", "grappe:imgae", "grappe:number", "grappe:servers[0].name",
            "grappe:servers[0].nmae", "grappe:servers[1].port"] == [
        mistake.key for mistake in found.value.mistakes
    ]  # fmt: skip


def test_pulumi_yaml_is_made_of_the_settings() -> None:
    """`python -m stacks.declaration` would write what is there, and each setting says what for."""
    text = declaration.PATH.read_text()
    assert text == declaration.render(text)
    declared = yaml.safe_load(text)["config"]
    kinds = settings.KINDS.values()
    named = {f"grappe:{field.name}" for kind in kinds for field in dataclasses.fields(kind)}
    assert {*named, "grappe:password"} == declared.keys()
    assert [{"name": "yuno1"}, {"name": "yuno2"}] == declared["grappe:servers"]["default"]


@pytest.mark.parametrize("kind", settings.KINDS)
def test_default_settings_of_any_kind_are_no_mistake(kind: str) -> None:
    """It hands each stack the defaults of all settings."""
    entries = yaml.safe_load(declaration.PATH.read_text())["config"].items()
    defaults = {key: entry["default"] for key, entry in entries}
    texts = {key: value if isinstance(value, str) else json.dumps(value)
             for key, value in defaults.items()}  # fmt: skip
    mistakes: list[problems.Mistake] = []
    settings.load(settings.KINDS[kind], {**texts, "grappe:kind": kind}, mistakes)
    assert [] == mistakes


QUOTA = {"containers": 2, "cpu": 4, "memory": "2GiB", "disk": "10GiB"}


def test_quota_becomes_the_projects_limits() -> None:
    """As LXD names it; what is left out has no bound."""
    lab = parse(quota=QUOTA, limits={"cpu": "2", "memory": "1GiB"}, disk="5GiB")
    assert {"limits.containers": "2", "limits.cpu": "4", "limits.memory": "2GiB",
            "limits.disk": "10GiB"} == lab.quota  # fmt: skip
    assert {} == parse().quota


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"quota": {"containers": 1}}, "quota.containers", "1 is less than the 2 servers"),
        ({"quota": {"memory": "1500MiB"}, "limits": {"memory": "1GiB"}}, "quota.memory",
         "is less than the servers' limits together: 1GiB + 1GiB = 2GiB"),
        ({"quota": {"cpu": 3}, "limits": {"cpu": "2"}}, "quota.cpu", "2 + 2 = 4"),
        ({"quota": {"disk": "11GiB"}, "disk": "5GiB", "servers": [
            {"name": "a", "volumes": [{"name": "d", "path": "/d", "size": "1GiB"}]},
            {"name": "b", "disk": "6GiB"}]}, "quota.disk", "6GiB + 6GiB = 12GiB"),
        ({"quota": {"memory": "lots"}}, "quota.memory", '"lots" is not a size'),
        ({"quota": {"memory": "2GiB"}, "servers": [{"name": "a"}]}, "servers[0].limits.memory",
         "With quota.memory every server sets its own: 1GiB"),
        ({"quota": {"memroy": "2GiB"}}, "quota.memroy", "Did you mean memory"),
        ({"disk": "big"}, "disk", "is not a size"),
    ],
)  # fmt: skip
def test_quota_below_the_servers_limits_is_refused(
    changes: dict[str, Any], key: str, words: str
) -> None:
    """With the sum, before any request to LXD."""
    with pytest.raises(problems.Mistakes) as found:
        parse(**changes)
    reasons = {mistake.key: mistake.reason for mistake in found.value.mistakes}
    assert words in reasons[f"grappe:{key}"]


@pytest.mark.parametrize(
    ("tunnel", "key", "words"),
    [
        ({"forwards": [{"listen": 8080, "port": 80}]}, "tunnel.relay", "is missing"),
        ({"relay": "local:"}, "tunnel.relay", "is not reached by SSH"),
        ({"relay": "ssh://a:b@relay"}, "tunnel.relay", "***"),
        ({"relay": "ssh://r", "forwards": [{"listen": 0, "port": 80}]},
         "tunnel.forwards[0].listen", "0 is not a port"),
        ({"relay": "ssh://r", "forwards": [{"listen": 8080, "port": 80}] * 2},
         "tunnel.forwards[1].listen", "is another forward's already"),
        ({"relay": "ssh://r", "forwards": [{"listen": 8080, "port": 22, "server": "nope"}]},
         "tunnel.forwards[0].server", "is not one of the servers: yuno1, yuno2"),
        ({"relya": "ssh://r"}, "tunnel.relya", "Did you mean relay"),
    ],
)  # fmt: skip
def test_invalid_tunnel_is_refused(tunnel: dict[str, Any], key: str, words: str) -> None:
    """Before any host is surveyed."""
    with pytest.raises(problems.Mistakes) as found:
        parse(tunnel=tunnel)
    assert words in {m.key: m.reason for m in found.value.mistakes}[f"grappe:{key}"]


def test_tunnel_needs_only_its_relay() -> None:
    """Its forwards default to HTTP and HTTPS; without the setting there is no tunnel."""
    (http, https) = parse(tunnel={"relay": "ssh://root@relay"}).tunnel.forwards  # type: ignore[union-attr]
    assert [(8080, 80), (8443, 443)] == [(f.listen, f.port) for f in (http, https)]
    assert parse().tunnel is None


def test_an_empty_text_is_no_setting() -> None:
    """As for LXD; it would read as drift for ever."""
    lab = parse(config={"user.course": "", "user.note": "a"}, limits={"memory": ""})
    assert ({"user.note": "a"}, {}) == (lab.servers[0].config, lab.servers[0].limits)


def test_numbers_and_booleans_of_yaml_are_texts_of_lxds() -> None:
    """A teacher need not quote them."""
    servers = [
        {"name": "a", "limits": {"processes": 500}, "devices": {"d": {"type": "none", "x": True}}}
    ]
    lab = parse(limits={"cpu": 2}, config={"boot.autostart": True, "user.a": None}, servers=servers)
    (server,) = lab.servers
    assert {"cpu": "2", "processes": "500"} == server.limits
    assert {"boot.autostart": "true"} == server.config
    assert "true" == server.devices["d"]["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("On", "On"), ("y", "y"), ("true", True), ("False", False), ("0o17", 15), ("017", 15),
        ("0x1F", 31), ("1:30", "1:30"), ("1e3", 1000), ("12e456789012", "12e456789012"), ("1_000", 1000), ("-7", -7), ("1.5", 1.5),
        ("~", None), ("08", 8), ("1.2.3", "1.2.3"), ("", None),
    ],
)  # fmt: skip
def test_a_scalar_is_what_the_engine_takes_it_for(text: str, value: object) -> None:
    """By YAML 1.2: a server may be called `no`, and a number be written in octal."""
    found = files.load(f"a: {text}\n")["a"]
    assert (type(value), value) == (type(found), found)


def test_numbers_and_dates_that_look_otherwise_are_reported(tmp_path: pathlib.Path) -> None:
    """060 is 48, and a date a text of its own; quoted, or not octal at all, they are as they look."""
    (tmp_path / "Pulumi.zoe.yaml").write_text("""
config:
  grappe:number: 060
  grappe:login: 0o17
  grappe:config: {user.n: 07}
  grappe:servers:
    - {name: "010", limits: {processes: 08, cpu: &n 010}, config: {user.until: 2026-09-01, user.n: *n}}
    - {name: yuno2, config: {user.when: "2026-09-01", user.a: 00, user.b: 0, user.group: 2e3}}
    - {name: yuno3, devices: {t: {type: usb, vendorid: 0x1d6b, productid: 0403}}, config: {user.v: 1.10}}
""")
    assert [
        ("grappe:number", '060 is the octal number 48: write 60, or "060" for a text.'),
        ("grappe:config.user.n", '07 is the octal number 7: write 7, or "07" for a text.'),
        (
            "grappe:servers[0].limits.cpu",
            '010 is the octal number 8: write 10, or "010" for a text.',
        ),
        (
            "grappe:servers[0].config.user.until",
            '2026-09-01 is a date: write "2026-09-01", in quotes.',
        ),
        (
            "grappe:servers[1].config.user.group",
            '2e3 is the number 2000: write 2000, or "2e3" for a text.',
        ),
        (
            "grappe:servers[2].devices.t.vendorid",
            '0x1d6b is the number 7531: write "0x1d6b", in quotes.',
        ),
        (
            "grappe:servers[2].devices.t.productid",
            '0403 is the octal number 259: write "0403", in quotes.',
        ),
        (
            "grappe:servers[2].config.user.v",
            '1.10 is the number 1.1: write 1.1, or "1.10" for a text.',
        ),
    ] == [(each.key, each.reason) for each in files.misread(tmp_path, "zoe")]
    assert [] == files.misread(tmp_path, "nobody")


def test_profile_named_twice_is_refused() -> None:
    """LXD refuses it in the middle of an `up`; the stack file is refused before."""
    with pytest.raises(problems.Mistakes, match="grappe:profiles.*is there twice"):
        kinds.parse({"grappe:host": "ssh://lab", "grappe:number": "1",
                     "grappe:profiles": '["default", "lab", "default"]'}, project="grappe", stack="x")  # fmt: skip


ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgusZwmbhW7VjW8xrjTaoQ0xIgSXuqiU4Li4SHc9xe6"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ED25519, ""), (f"{ED25519} zoe's laptop", ""),
        ("ssh-ed25519", "is not a public SSH key"),
        (ED25519[:-4], "is cut off, or changed"),
        (ED25519.replace("ssh-ed25519 ", "ssh-rsa "), "is cut off, or changed"),
        (f"ssh-ed25519 {'A' * 68}", "is cut off, or changed"),
        (f"{ED25519}\nssh-rsa AAAA", "is not a public SSH key"),
        (f'command="id" {ED25519}', "is not a public SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n", "is a private key"),
    ],
)  # fmt: skip
def test_only_public_keys_of_a_student_are_accepted(key: str, words: str) -> None:
    """One line a key, without options; a private one is refused, and not shown."""
    config = {"grappe:host": "ssh://lab", "grappe:number": "1", "grappe:keys": json.dumps([key])}
    if not words:
        found = kinds.parse(config, project="grappe", stack="zoe")
        assert ((key,), "grappe-student") == (found.keys, found.user)
        return
    with pytest.raises(problems.Mistakes) as wrong:
        kinds.parse(config, project="grappe", stack="zoe")
    assert "grappe:keys[0]" in str(wrong.value)
    assert words in str(wrong.value)
    assert "b3BlbnNz" not in str(wrong.value)
