"""Adoption of NAT rules and HAProxy routing that were made by hand from the lab sheet."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from core import errors
from remote.unmanaged import haproxy as unmanaged_haproxy
from remote.unmanaged import nat as unmanaged_nat
from tests.contract import fragment_hosts
from tests.contract.fragment_hosts import DATA, KINDS, FakeFragmentHost, FragmentHost

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
def host(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[FragmentHost]:
    """A host with the files that its packages brought, which it has again after."""
    if request.param == "fake":
        made: FragmentHost = fragment_hosts.FakeFragmentHost(tmp_path / "host")
    else:
        made = fragment_hosts.RealFragmentHost(request.getfixturevalue("lab_host"))
    kept = {kind: made.read(KINDS[kind].file) for kind in ("nat", "haproxy")}
    with fragment_hosts.clean(made):
        yield made
    for kind, text in kept.items():
        made.write(KINDS[kind].file, text)


def load(host: FragmentHost, line: str, action: str = "-A") -> None:
    """Load a rule by hand, or unload it."""
    words = line.replace("-A", action, 1).split()
    if isinstance(host, FakeFragmentHost):
        host.system.run(["iptables", "-t", "nat", *words])
    else:
        host._host.run(["iptables", "-w", "-t", "nat", *words])


def loaded(host: FragmentHost) -> str:
    """Return the rules of PREROUTING."""
    argv = ["iptables", "-t", "nat", "-S", "PREROUTING"]
    return (
        host.system.run(argv).out
        if isinstance(host, FakeFragmentHost)
        else host._host.run(argv).stdout
    )


def test_manual_rules_are_adopted(host: FragmentHost) -> None:
    """Our rule replaces two loaded copies and the line in the file; another port's rule stays."""
    kind = KINDS["nat"]
    host.write(kind.file, host.read(kind.file) + SHEET_RULES)
    for line in (RULE, RULE, OTHER):
        load(host, line)
    spec, driver = kind.make(host.url, adopt=True), host.driver(kind)
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    assert RULE not in host.read(kind.file)
    assert OTHER in host.read(kind.file)
    assert "--dport 62222" not in loaded(host)
    assert "--dport 62299" in loaded(host)

    load(host, RULE)
    assert "a rule by hand is loaded for the same port" in driver.read(spec).drift
    driver.update(spec, spec)
    assert "" == driver.read(spec).drift
    driver.delete(spec)
    load(host, OTHER, "-D")


def test_manual_rules_stay_without_adopt(host: FragmentHost) -> None:
    """Somebody's own rule stays where it is."""
    kind = KINDS["nat"]
    host.write(kind.file, host.read(kind.file) + SHEET_RULES)
    spec, driver = kind.make(host.url), host.driver(kind)
    driver.create(spec)
    assert RULE in host.read(kind.file)
    driver.delete(spec)


def test_manual_routing_is_adopted(host: FragmentHost) -> None:
    """The sheet's frontends and backends are removed; the text before them stays byte for byte."""
    kind = KINDS["haproxy"]
    before = host.read(kind.file)
    host.write(kind.file, before + (DATA / "sheet.cfg").read_text())
    both = ("yuno1.contract.test", "yuno2.contract.test")
    spec, driver = kind.make(host.url, adopts=both), host.driver(kind)
    driver.create(spec)
    assert (spec, "") == (driver.read(spec).spec, driver.read(spec).drift)
    text = host.read(kind.file)
    assert text.startswith(before)
    for removed in ("https_sni_balancing", "http_balancing", "ssl_sni_balancing", "yuno2_backend"):
        assert removed not in text
    driver.delete(spec)
    assert host.read(kind.file).startswith(before)


def test_manual_routing_of_another_domain_is_not_adopted(host: FragmentHost) -> None:
    """The error names the domain; nothing is changed."""
    kind = KINDS["haproxy"]
    host.write(kind.file, host.read(kind.file) + (DATA / "sheet.cfg").read_text())
    text = host.read(kind.file)
    with pytest.raises(errors.DaemonError, match=r"routes yuno2\.contract\.test by hand"):
        host.driver(kind).create(kind.make(host.url, adopts=("yuno1.contract.test",)))
    assert text == host.read(kind.file)


SHEET = (DATA / "sheet.cfg").read_text()


@pytest.mark.parametrize(
    "line",
    ["http-request deny unless { src 192.168.8.99 }", "redirect scheme https", "stats enable",
     "acl office src 192.168.8.0/24", "bind *:8443 ssl crt /etc/ssl/x.pem",
     "http-request set-header X-Forwarded-Proto https", "errorfile 503 /etc/x.http",
     "use_backend yuno1_backend if { path_beg /x }", "server spare 10.79.159.12:8080 check",
     "rate-limit sessions 100", "option httpchk GET /", "stick-table type ip size 1m",
     "bind *:8080", "bind 10.8.0.1:80", "bind :80-90", "log-format %ci", "log-tag lab",
     "use_backend yuno1_backend if !yuno2_acl", "use_backend yuno1_backend if yuno1_acl office",
     "use_backend yuno1_backend unless yuno2_acl", "use_backend yuno1_backend if TRUE",
     "acl yuno1_acl hdr(host) -i -f /etc/haproxy/domains"],
)  # fmt: skip
def test_manual_routing_with_more_than_the_sheet_is_refused(line: str) -> None:
    """Every line that adoption would drop silently is reported; of the sheet itself none."""
    assert [] == unmanaged_haproxy.unaccounted(SHEET)
    with_it = SHEET.replace("\tbind *:80\n", f"\tbind *:80\n    {line}\n")
    assert [line] == unmanaged_haproxy.unaccounted(with_it)


@pytest.mark.parametrize(
    "line",
    ["acl more hdr(host) -i yuno1.contract.test # the first", "# a note of the teacher", "log global",
     "use_backend yuno1_backend if yuno1_acl or { hdr(host) -i yuno1.contract.test }",
     "bind 0.0.0.0:80", "bind :80,[::]:80", "log 127.0.0.1 local0"],
)  # fmt: skip
def test_variants_of_the_sheets_lines_are_adopted(line: str) -> None:
    """Grappe's own routing has the same effect."""
    with_it = SHEET.replace("\tbind *:80\n", f"\tbind *:80\n    {line}\n")
    assert [] == unmanaged_haproxy.unaccounted(with_it)
    assert unmanaged_haproxy.domains(SHEET) == unmanaged_haproxy.domains(with_it)


COMPUTED = """frontend http
    bind *:80
    mode http
    use_backend bk_a if { hdr(host) -i a.test }
frontend api
    bind *:8080
    use_backend %[req.hdr(host),lower,map(/etc/haproxy/h.map,bk_a)]
backend bk_a
    server a 10.0.3.5:80
"""


def test_backends_stay_where_a_frontend_computes_their_name() -> None:
    """HAProxy's own check finds nothing wrong with a computed name that leads nowhere."""
    left = unmanaged_haproxy.without(COMPUTED)
    assert ("frontend http" in left, "backend bk_a" in left) == (False, True)
    assert "backend bk_a" not in unmanaged_haproxy.without(COMPUTED.replace("%[", "other # %["))


def test_lines_that_do_not_listen_are_no_binds() -> None:
    """A disabled section, another network namespace, UDP."""
    text = (
        "frontend old\n    disabled\n    bind *:80\nfrontend new\n    bind *:81\n"
        "    bind *:82 namespace blue\n    bind udp@:83\n    bind udp4@*:84\n"
    )
    assert [5] == [number for number, _ports, _line in unmanaged_haproxy.binds(text)]


def test_newer_sections_are_no_part_of_those_before() -> None:
    """HAProxy 3.2 has acme, traces and log-profile."""
    for kind in ("acme", "traces", "log-profile"):
        text = f"{SHEET}\n{kind} mine\n    on any\n"
        assert [] == unmanaged_haproxy.unaccounted(text)
        assert f"{kind} mine" in unmanaged_haproxy.without(text)


@pytest.mark.parametrize(
    "more",
    ["-s 192.168.8.0/24", "-m limit --limit 3/min", "! -i eth1", "-m conntrack --ctstate NEW"],
)
def test_manual_rule_with_more_conditions_is_detected(more: str) -> None:
    """Adoption would let in those whom its condition keeps out."""
    assert not unmanaged_nat.has_more_conditions(RULE)
    assert unmanaged_nat.has_more_conditions(RULE.replace(" -p tcp", f" {more} -p tcp"))
