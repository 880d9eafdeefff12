"""The views of a lab: card, check, topology, explain and top, from facts to text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
import xml.etree.ElementTree as ET

import pytest

from providers.lxd.postinstall import services
from stacks import spec
from views import card, check, explain, top, topology

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJEgVFxiZHpGfwzfP5yHAFaVuB5dYuwWcV0Rp9ZWeJhP yuno1"
CARD = {
    "name": "yuno1", "domain": "yuno1.alice.grappe.test", "address": "10.64.1.10",
    "ssh": {"host": "192.168.8.10", "port": 22222, "user": "alice"},
    "urls": ["http://yuno1.alice.grappe.test/"], "fingerprints": ["ED25519 SHA256:abc"],
}  # fmt: skip
HEALTHY = {"container": "Running", "installed": True,
        **{way: {"ok": True, "seen": ""} for way in check.WAYS}}  # fmt: skip


def lab(**changes: object) -> spec.LabSpec:
    given = {"host": "ssh://lab", "number": 1, **changes}
    texts = {
        f"grappe:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in given.items()
    }
    texts["grappe:password"] = "a long password"
    return spec.parse(texts, project="grappe", stack="alice", secrets=["grappe:password"])


def test_a_fingerprint_is_what_ssh_shows() -> None:
    """Of the key alone, in base64 without padding."""
    digest = hashlib.sha256(base64.b64decode(KEY.split()[1])).digest()
    expected = base64.b64encode(digest).decode().rstrip("=")
    assert f"ED25519 SHA256:{expected}" == card.fingerprint(KEY)
    with pytest.raises(ValueError, match=r".+"):
        card.fingerprint("no key")


def test_the_card_has_what_a_student_types() -> None:
    """The command, the fingerprint, what to forget after a rebuild, and the hosts lines."""
    text = card.render(lab(), [CARD], "alice")
    for line in ("ssh -p 22222 alice@192.168.8.10", "ED25519 SHA256:abc",
                 "ssh-keygen -R '[192.168.8.10]:22222'", "drivers\\etc\\hosts",
                 "192.168.8.10    yuno1.alice.grappe.test"):  # fmt: skip
        assert line in text
    more = {**CARD, "domains": ["yuno1.alice.grappe.test", "wiki.yuno1.alice.grappe.test"]}
    assert ["192.168.8.10\t" + " ".join(more["domains"])] == card.hosts_lines([more])
    (found,) = card.as_json([CARD])
    assert ["ssh-keygen", "-R", "[192.168.8.10]:22222"] == found["forget_host_key"]
    assert max(map(len, text.splitlines())) <= 100


def test_the_card_says_what_works_through_the_tunnel() -> None:
    """On other ports than YunoHost's own, whole paths; on its own, nothing to know."""
    text = card.render(lab(tunnel={"relay": "ssh://root@relay.test"}), [CARD], "alice")
    # By http its redirect leads to https without the port.
    assert ":8080" not in text
    assert "  https://yuno1.alice.grappe.test:8443/yunohost/admin/\n" in text
    assert "redirects leave the port out" in text
    assert max(map(len, text.splitlines())) <= 100
    usual = [{"listen": 80, "port": 80}, {"listen": 443, "port": 443}]
    text = card.render(
        lab(tunnel={"relay": "ssh://root@relay.test", "forwards": usual}), [CARD], "alice"
    )
    assert "  https://yuno1.alice.grappe.test/yunohost/admin/\n" in text
    assert "redirects" not in text
    assert "internet" not in card.render(lab(), [CARD], "alice")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"container": "absent"}, "the container is absent, not running"),
        ({"ssh": {"ok": False, "seen": "refused"}}, "ssh: refused"),
        ({"http": {"ok": False, "seen": "404"}, "https": {"ok": False, "seen": "closed"}},
         "http: 404; https: closed"),
        ({"installed": False}, "YunoHost is not post-installed"),
        ({"http": {"ok": False, "seen": "503"}, "refuses": True},
         "http: 503; it refuses the lab host, through which pages come: banned by fail2ban?"),
    ],
)  # fmt: skip
def test_check_names_cause_and_remedy(changes: dict[str, object], why: str) -> None:
    """Nothing for a healthy server."""
    meant = lab()
    row = check.row(meant, meant.servers[0], {**HEALTHY, **changes}, "alice")
    assert (not why, why) == (row.ok, row.why)
    text = check.render([row])
    assert ("1 of 1" if row.ok else "0 of 1") in text
    mends = "fail2ban-client unban 10.64.1.1" if "refuses" in changes else "./lab up alice"
    assert (mends in text) is not row.ok


def test_a_check_names_a_renamed_server() -> None:
    meant = lab()
    facts = {**HEALTHY, "container": "absent", "renamed": ["mine"]}
    row = check.row(meant, meant.servers[0], facts, "alice")
    assert "the container is absent, not running; mine has this lab's mark" in row.why
    assert "lxc rename mine yuno1 --project grappe-alice" in row.do
    # Another server of the lab is where it was.
    assert check.row(meant, meant.servers[0], {**HEALTHY, "renamed": ["mine"]}, "alice").ok


@pytest.mark.parametrize(
    ("lines", "mends"),
    [
        (["fail2ban does not run", "dnsmasq does not run"],
         "lxc exec yuno1 --project grappe-alice -- systemctl restart fail2ban dnsmasq"),
        (["yunohost-portal-api does not answer"],
         "lxc exec yuno1 --project grappe-alice -- systemctl restart yunohost-portal-api"),
        (["nginx is disabled", "slapd is masked"],
         "-- sh -c 'systemctl unmask nginx slapd; systemctl enable nginx slapd; systemctl start nginx slapd'"),
        (["nginx has no page of a.test (yunohost tools regen-conf nginx --force)"],
         "lxc exec yuno1 --project grappe-alice -- yunohost tools regen-conf nginx --force"),
        ([f"its sshd listens on 2222 ({services.SSH_PORT})"],
         f"lxc exec yuno1 --project grappe-alice -- sh -c '{services.SSH_PORT}'"),
    ],
)  # fmt: skip
def test_check_names_services_that_do_not_run(lines: list[str], mends: str) -> None:
    """Although SSH and pages answer."""
    meant = lab()
    row = check.row(meant, meant.servers[0], {**HEALTHY, "inside": lines}, "alice")
    assert (False, "; ".join(lines)) == (row.ok, row.why)
    assert mends in check.render([row])


def test_a_check_names_the_program_of_an_incus_host() -> None:
    meant, facts = lab(), {**HEALTHY, "program": "incus", "inside": ["nginx does not run"]}
    row = check.row(meant, meant.servers[0], facts, "alice")
    assert "incus exec yuno1 --project grappe-alice -- systemctl restart nginx" in row.do
    renamed = {**HEALTHY, "program": "incus", "container": "absent", "renamed": ["mine"]}
    row = check.row(meant, meant.servers[0], renamed, "alice")
    assert "incus rename mine yuno1 --project grappe-alice" in row.do


def test_check_names_whom_a_server_bans() -> None:
    """A student's own address, after wrong passwords by ssh; with the command that lifts it."""
    meant = lab()
    seen = {**HEALTHY, "ssh": {"ok": False, "seen": "refused"}, "banned": ["192.168.8.20"]}
    row = check.row(meant, meant.servers[0], seen, "alice")
    assert "ssh: refused; its fail2ban bans 192.168.8.20" == row.why
    assert row.do.endswith("-- fail2ban-client unban 192.168.8.20")
    # A ban of somebody who is not here is no fault.
    assert check.row(meant, meant.servers[0], {**HEALTHY, "banned": ["192.0.2.1"]}, "alice").ok


def test_check_of_a_lost_installation_names_what_is_lost() -> None:
    """Its stage and what does not run, and no guess; `up` mends both."""
    meant = lab()
    stage = "/etc/yunohost/installed is not there, and it was post-installed"
    seen = {**HEALTHY, "installed": False, "stage": stage, "inside": ["nginx does not run"],
            "http": {"ok": False, "seen": "refused"}}  # fmt: skip
    row = check.row(meant, meant.servers[0], seen, "alice")
    assert f"http: refused; {stage}; nginx does not run" == row.why
    assert "./lab up alice" == row.do


def test_check_names_a_port_that_a_server_closes() -> None:
    """With YunoHost's own command where it is installed."""
    meant = lab()
    seen = {**HEALTHY, "https": {"ok": False, "seen": "closed"}, "shut": [443]}
    row = check.row(meant, meant.servers[0], seen, "alice")
    assert "https: closed; it drops packets to 443: its own firewall, or the lab host's?" == row.why
    opens = "yunohost firewall open 443 lab || yunohost firewall allow TCP 443"
    assert row.do.endswith(f"-- sh -c '{opens}'")
    asleep = dataclasses.replace(meant.servers[0], state="stopped")
    assert check.row(meant, asleep, {**seen, "container": "Stopped"}, "alice").ok
    bare = check.row(meant, meant.servers[0], {**seen, "installed": False}, "alice")
    assert bare.do.endswith("-- nft list ruleset")


def test_check_notes_a_user_whom_a_student_removed() -> None:
    """It is no fault, and the card names a user who cannot log in."""
    meant = lab()
    taken = {**HEALTHY, "userless": "alice", "taken": True}
    row = check.row(meant, meant.servers[0], taken, "alice")
    assert not row.ok
    assert "post-installed by somebody else: it has no user alice" in row.why
    assert "./lab up alice --rebuild yuno1" == row.remedy
    row = check.row(meant, meant.servers[0], {**HEALTHY, "userless": "alice"}, "alice")
    assert (True, "it no longer has the user alice that the card names") == (row.ok, str(row.note))


def test_lab_with_a_dead_tunnel_is_not_ok() -> None:
    """Its pages answer in the class, and nobody reaches them from the internet."""
    meant = lab()
    row = check.row(meant, meant.servers[0], HEALTHY, "alice")
    cut = check.cut_off(row, "grappe-tunnel-alice.service is not active", "alice")
    text = check.render([cut], unchecked=2)
    assert "the way from the internet is down: grappe-tunnel-alice.service is not active" in text
    assert "./lab up alice" in text
    assert "0 of 3 students ok." in text


def test_check_names_a_dead_nginx_rather_than_a_ban() -> None:
    """Both refuse the lab host's requests."""
    meant = lab()
    refused = {"ok": False, "seen": "refused"}
    seen = {**HEALTHY, "http": refused, "refuses": True, "inside": ["nginx does not run"]}
    row = check.row(meant, meant.servers[0], seen, "alice")
    assert "http: refused; nginx does not run" == row.why
    assert row.do.endswith("-- systemctl restart nginx")


def test_changed_main_domain_is_noted_and_ok() -> None:
    """Another main domain."""
    meant = lab()
    row = check.row(meant, meant.servers[0], {**HEALTHY, "domain": "blog.test"}, "alice")
    assert row.ok
    assert "! alice/yuno1: its main domain is blog.test now" in check.render([row])
    same = {**HEALTHY, "domain": meant.servers[0].domain}
    assert "" == check.row(meant, meant.servers[0], same, "alice").note


def test_main_domain_of_another_server_is_a_restored_backup() -> None:
    """The stack file cannot name it: it is the other server's."""
    meant = lab()
    first, second = meant.servers
    row = check.row(meant, second, {**HEALTHY, "domain": first.domain}, "alice")
    assert row.ok
    assert f"the one of {first.name}: was a backup of it restored here?" in str(row.note)
    assert f"yunohost domain main-domain -n {second.domain}" in str(row.note)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (services.SHUT_OUT, "yunohost user group add admins alice"),
        (services.NO_PASSWORDS, "yunohost settings set security.ssh.ssh_password_authentication -v yes"),
    ],
)  # fmt: skip
def test_check_notes_an_sshd_that_refuses_the_login(login: str, words: str) -> None:
    """It may be the exercise; a student with a key needs no password."""
    meant = lab()
    row = check.row(meant, meant.servers[0], {**HEALTHY, "login": {login}}, "alice")
    assert row.ok
    assert words in str(row.note)
    keyed = dataclasses.replace(meant, keys=("ssh-ed25519 AAAA",))
    row = check.row(keyed, keyed.servers[0], {**HEALTHY, "login": {login}}, "alice")
    assert (login == services.SHUT_OUT) is bool(row.note)


def test_a_check_counts_what_drifted() -> None:
    """By kind, and where to read what it is."""
    meant = lab()
    row = check.row(meant, meant.servers[0], HEALTHY, "alice")
    text = check.render([row], {"alice": ["Rule", "Entry", "Rule", "Entry", "Container"]})
    assert "! alice: drift: 1 container, 2 entries, 2 rules; details: ./lab preview alice" in text
    assert "drift" not in check.render([row], {"alice": []})


def test_student_whose_lab_is_down_counts_as_not_ok() -> None:
    """With the command that brings it up; also where nobody is up."""
    down = {"zoe": "./lab class up tp zoe"}
    assert check.render([], None, "en", down) == (
        "✗ zoe: is down    ./lab class up tp zoe\n0 of 1 students ok.\n"
    )
    assert "zoe : son lab n'est pas en place" in check.render([], None, "fr", down)


def test_check_shows_haproxys_connection_counts() -> None:
    """A dash if HAProxy has no count."""
    meant = lab()
    counts = {"connections": 12, "open": 2, "requests": 9}
    row = check.row(meant, meant.servers[0], {**HEALTHY, "asked": counts}, "alice")
    assert "12, 2 open" == str(row.asked)
    assert "-" == check.row(meant, meant.servers[0], HEALTHY, "alice").asked


def test_server_that_is_stopped_by_its_stack_is_ok() -> None:
    """SSH and pages are not tried."""
    meant = lab(servers=[{"name": "yuno1", "state": "stopped"}])
    row = check.row(meant, meant.servers[0], {"container": "Stopped"}, "alice")
    assert (True, "-", "-") == (row.ok, row.ssh, row.installed)
    # The name in JSON is older.
    assert check.as_json(row)["well"] is True


def test_topology_has_every_address_and_port() -> None:
    """Ports, addresses and domains of servers and tunnel, as text and as SVG."""
    meant = lab(tunnel={"relay": "ssh://root@relay"})
    text = topology.text(meant, "192.168.8.10")
    assert "192.168.8.10:22223" in text
    assert "yuno2 10.64.1.11:22" in text
    assert "tunnel 8443 of ssh://root@relay ──► lab host:443" in text
    picture = topology.svg(meant, "192.168.8.10")
    words = " ".join(ET.fromstring(picture).itertext())  # noqa: S314 - our own
    for word in ("192.168.8.10", "22222", "10.64.1.10", "yuno2.alice.grappe.test", "8443"):
        assert word in words


def test_picture_escapes_the_stack_file() -> None:
    """What stands in a picture is text."""
    meant = lab(workstation="netns:a.b", student="alice")
    assert "<script" not in topology.svg(meant, "<script>")


def test_explain_is_the_sheet_with_this_labs_values() -> None:
    """Every resource, and lines that a person could type."""
    parts = explain.parts(lab(tunnel={"relay": "ssh://root@relay"}), "192.168.8.10")
    names = [part.resource for part in parts]
    assert {"alice-yuno1", "alice-yuno1-ssh", "alice-yuno2-web", "alice-tunnel"} <= set(names)
    text = explain.render(parts)
    assert "--dport 22222 -j DNAT --to-destination 10.64.1.10:22" in text
    assert "$ ssh -N -R '*:8080:192.168.8.10:80'" in text
    assert "ssh -p 22222 alice@192.168.8.10" in text
    by_hand = dataclasses.replace(lab(), post_install=False)
    text = explain.render(explain.parts(by_hand, "192.168.8.10"))
    assert "ssh -p 22222 YOUR-USER@192.168.8.10" in text
    assert "a long password" not in text


def test_top_counts_host_and_containers() -> None:
    """The host's line is the sum; a container is called as people call it."""
    one = {"processes": 10, "cpu": 5.0, "memory": 2**20}
    facts = {"own": one, "containers": [{"name": "grappe-alice_yuno1", **one}], "processors": 2,
             "available": 2**30, "total": 2**31, "example": None}  # fmt: skip
    lines = top.render(facts).splitlines()
    assert ["host", "20"] == lines[1].split()[:2]
    assert "grappe-alice/yuno1" in lines[3]
    assert "yuno1" == top.container_name("yuno1")
    assert pathlib.Path(topology.__file__).with_name("topology.svg.j2").exists()
