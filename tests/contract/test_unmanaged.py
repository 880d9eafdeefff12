"""A host where the lab sheet was done by hand: its rules and its routing are taken over."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from core import errors
from remote.unmanaged import haproxy as unmanaged_haproxy
from remote.unmanaged import nat as unmanaged_nat
from tests.contract import fragment_world
from tests.contract.fragment_world import DATA, KINDS, FakeWorld, World

SHEET_RULES = """\
#NAT prerouting port forwarding rules to containers
*nat
:POSTROUTING ACCEPT [0:0]
:PREROUTING ACCEPT [0:0]
#Rules
-A PREROUTING -d 192.168.8.10/32 -i eth0 -p tcp -m comment --comment yuno1_ssh -m tcp --dport 62222 -j DNAT --to-destination 10.79.159.10:22
-A PREROUTING -d 192.168.8.10/32 -i eth0 -p tcp -m comment --comment other_ssh -m tcp --dport 62299 -j DNAT --to-destination 10.79.159.99:22
#One commit per table needed (here for nat table)
COMMIT
"""
RULE, OTHER = SHEET_RULES.splitlines()[5:7]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.sandbox)])
def world(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[World]:
    """A host with the files that its packages brought, which it has again after."""
    if request.param == "fake":
        made: World = fragment_world.FakeWorld(tmp_path / "host")
    else:
        made = fragment_world.RealWorld(request.getfixturevalue("lab_host"))
    kept = {kind: made.read(KINDS[kind].file) for kind in ("nat", "haproxy")}
    with fragment_world.clean(made):
        yield made
    for kind, text in kept.items():
        made.write(KINDS[kind].file, text)


def load(world: World, line: str, action: str = "-A") -> None:
    """Load a rule by hand, or unload it."""
    words = line.replace("-A", action, 1).split()
    if isinstance(world, FakeWorld):
        world.system.run(["iptables", "-t", "nat", *words])
    else:
        world._host.run(["iptables", "-w", "-t", "nat", *words])


def loaded(world: World) -> str:
    """Return the rules of PREROUTING."""
    argv = ["iptables", "-t", "nat", "-S", "PREROUTING"]
    return (
        world.system.run(argv).out if isinstance(world, FakeWorld) else world._host.run(argv).stdout
    )


def test_manual_rules_are_adopted(world: World) -> None:
    """Twice loaded and once in the file, both leave for ours; another port's stays."""
    kind = KINDS["nat"]
    world.write(kind.file, world.read(kind.file) + SHEET_RULES)
    for line in (RULE, RULE, OTHER):
        load(world, line)
    spec, driver = kind.make(world.url, adopt=True), world.driver(kind)
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    assert RULE not in world.read(kind.file)
    assert OTHER in world.read(kind.file)
    assert "--dport 62222" not in loaded(world)
    assert "--dport 62299" in loaded(world)

    load(world, RULE)
    assert "a rule by hand is loaded for the same port" in driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    load(world, OTHER, "-D")


def test_manual_rules_stay_without_adopt(world: World) -> None:
    """Somebody's own rule stays where it is."""
    kind = KINDS["nat"]
    world.write(kind.file, world.read(kind.file) + SHEET_RULES)
    spec, driver = kind.make(world.url), world.driver(kind)
    driver.create(spec)
    assert RULE in world.read(kind.file)
    driver.delete(spec)


def test_manual_routing_is_adopted(world: World) -> None:
    """The sheet's frontends and backends leave; what stood before them stays byte for byte."""
    kind = KINDS["haproxy"]
    before = world.read(kind.file)
    world.write(kind.file, before + (DATA / "sheet.cfg").read_text())
    both = ("yuno1.contract.test", "yuno2.contract.test")
    spec, driver = kind.make(world.url, adopts=both), world.driver(kind)
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    text = world.read(kind.file)
    assert text.startswith(before)
    for gone in ("https_sni_balancing", "http_balancing", "ssl_sni_balancing", "yuno2_backend"):
        assert gone not in text
    driver.delete(spec)
    assert world.read(kind.file).startswith(before)


def test_manual_routing_of_another_domain_is_not_adopted(world: World) -> None:
    """It is named, and nothing is changed."""
    kind = KINDS["haproxy"]
    world.write(kind.file, world.read(kind.file) + (DATA / "sheet.cfg").read_text())
    text = world.read(kind.file)
    with pytest.raises(errors.DaemonError, match=r"routes yuno2\.contract\.test by hand"):
        world.driver(kind).create(kind.make(world.url, adopts=("yuno1.contract.test",)))
    assert text == world.read(kind.file)


SHEET = (DATA / "sheet.cfg").read_text()


@pytest.mark.parametrize(
    "line",
    ["http-request deny unless { src 192.168.8.99 }", "redirect scheme https", "stats enable",
     "acl office src 192.168.8.0/24", "bind *:8443 ssl crt /etc/ssl/x.pem",
     "http-request set-header X-Forwarded-Proto https", "errorfile 503 /etc/x.http",
     "use_backend yuno1_backend if { path_beg /x }", "server spare 10.79.159.12:8080 check",
     "rate-limit sessions 100", "option httpchk GET /", "stick-table type ip size 1m"],
)  # fmt: skip
def test_manual_routing_with_more_than_the_sheet_is_refused(line: str) -> None:
    """Each line that would go without a word; of the sheet's own none."""
    assert [] == unmanaged_haproxy.unaccounted(SHEET)
    with_it = SHEET.replace("\tbind *:80\n", f"\tbind *:80\n    {line}\n")
    assert [line] == unmanaged_haproxy.unaccounted(with_it)


@pytest.mark.parametrize(
    "more",
    ["-s 192.168.8.0/24", "-m limit --limit 3/min", "! -i eth1", "-m conntrack --ctstate NEW"],
)
def test_manual_rule_with_more_than_the_sheet_is_known(more: str) -> None:
    """Whom it keeps out would be let in."""
    assert not unmanaged_nat.is_more(RULE)
    assert unmanaged_nat.is_more(RULE.replace(" -p tcp", f" {more} -p tcp"))
