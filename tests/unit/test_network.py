"""A student's bridge: its DNS settings, its faults, and their repair by an update."""

from __future__ import annotations

import pathlib
import socket

import pytest

from providers.lxd import fake
from providers.lxd.network import driver, model
from remote import bridge, dial


def test_bridge_forwards_no_query_about_the_labs_own_names() -> None:
    """`address` answers for IPv4 alone; without `local`, others would go to outer resolvers."""
    spec = model.NetworkSpec(
        host="ssh://lab", owner="grappe/alice", name="gr-1", address="10.64.1.1/24",
        hosts={"yuno2.test": "10.64.1.11", "yuno1.test": "10.64.1.10"},
    )  # fmt: skip
    lines = model.settings(spec)["raw.dnsmasq"].splitlines()
    assert lines == [
        "address=/yuno1.test/10.64.1.10", "local=/yuno1.test/",
        "address=/yuno2.test/10.64.1.11", "local=/yuno2.test/",
    ]  # fmt: skip
    assert "raw.dnsmasq" not in model.settings(model.NetworkSpec(
        host="ssh://lab", owner="grappe/alice", name="gr-i1", address="10.65.1.1/24",
    ))  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [("0\n", "forwards nothing"), ("1\n", "")])
def test_disabled_ip_forwarding_is_a_fault_of_the_bridge(
    text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LXD switches it on again where the bridge's setting changes, as for its masquerade."""
    monkeypatch.setattr(bridge, "_masquerades", lambda _subnet: True)
    monkeypatch.setattr(bridge, "link", lambda *_asked: "")
    monkeypatch.setattr(bridge, "read_text", lambda _path: text)
    found = bridge.main({"addresses": {"lo": "127.0.0.1/8"}})["lo"]
    assert (words in found, bool(words)) == (True, bool(found))


def test_missing_link_of_a_bridge_is_reported() -> None:
    """LXD makes it again where the bridge's setting changes."""
    assert "its link is gone" in bridge.main({"addresses": {"gr-none": "10.64.1.1/24"}})["gr-none"]


def test_missing_address_of_a_bridge_is_reported() -> None:
    """A network manager that takes over all interfaces flushes what LXD has set."""
    lost = bridge.main({"addresses": {"lo": "10.64.1.1/24"}})["lo"]
    assert lost == "its address 10.64.1.1/24 is gone from its link: its servers have no network"
    # A bridge without IPv4 has none to lose.
    assert bridge.link("lo", "none", ()) == bridge.link("lo", "", ()) == ""


@pytest.mark.parametrize("serves", [True, False])
def test_missing_dnsmasq_of_a_bridge_is_reported(
    serves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its servers would lose their addresses one by one, and know no names at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not serves:
            server.close()
        monkeypatch.setattr(bridge, "DNS_PORT", port)
        words = bridge.link("lo", "127.0.0.1/8", ())
    assert words == (
        "" if serves else
        "its dnsmasq does not run: its servers get no address, and know no names"
    )  # fmt: skip


def test_server_whose_link_is_on_no_bridge_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LXD shows no difference; what is not of this bridge is not reported."""
    for name in ("veth1", "veth2/master", "veth3", "eth0"):
        (tmp_path / name).mkdir(parents=True)
    items = [
        {
            "name": f"yuno{number}", "config": {"volatile.eth0.host_name": f"veth{number}"},
            "expanded_devices": {"eth0": {"network": network, "type": "nic"}, "root": {}},
        }
        for number, network in ((1, "gr-1"), (2, "gr-1"), (3, "gr-2"))
    ]  # fmt: skip
    monkeypatch.setattr(bridge, "_CLASS", str(tmp_path))
    monkeypatch.setattr(bridge.lxd, "query", lambda _socket, _path: items)
    bridge._unplugged.cache_clear()
    assert bridge._unplugged((str(tmp_path),)) == {"gr-1": ["yuno1"], "gr-2": ["yuno3"]}
    bridge._unplugged.cache_clear()


def test_links_without_a_bridge_are_attached(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on another bridge, and those that are gone, stay as they are."""
    for name in ("veth1", "veth2/master"):
        (tmp_path / name).mkdir(parents=True)
    ran: list[list[str]] = []
    monkeypatch.setattr(bridge, "_CLASS", str(tmp_path))
    monkeypatch.setattr(bridge.programs, "run", lambda argv, **_options: ran.append(argv))
    bridge.main({"name": "gr-1", "ports": ["veth1", "veth2", "veth3"]})
    assert [["ip", "link", "set", "veth1", "master", "gr-1"]] == ran


def test_update_of_a_lost_bridge_attaches_its_servers() -> None:
    """By the names that LXD gave the host's ends; one without a bridge of ours is not among them."""
    lxd, attached = fake.FakeLxd(), []
    spec = model.NetworkSpec(
        host="ssh://lab", owner="grappe/alice", name="gr-1", address="10.64.1.1/24"
    )
    lost = iter(["its link is gone", ""])
    networks = driver.NetworkDriver(
        lxd, lambda _spec: next(lost), lambda *call: attached.append(call)
    )
    networks.create(spec)
    lxd.change("POST", "projects", {"name": "p", "config": {}})
    fingerprint = lxd.add_image("standin")
    lxd.change("POST", "instances", {
        "name": "a", "source": {"type": "image", "fingerprint": fingerprint}, "profiles": ["default"],
        "config": {"volatile.eth0.host_name": "veth1", "volatile.eth1.host_name": "veth2"},
        "devices": {"eth0": {"network": "gr-1"}, "eth1": {"network": "other"}},
    }, project="p")  # fmt: skip
    networks.update(spec, spec)
    assert [("gr-1", ["veth1"])] == attached


def test_bridge_that_lxd_never_finishes_is_recreated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LXD was restarted while it made it: it starts it a minute later, and never finishes it."""
    monkeypatch.setattr(driver, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(driver.time, "sleep", lambda _seconds: None)
    lxd = fake.FakeLxd()
    spec = model.NetworkSpec(
        host="ssh://lab", owner="grappe/alice", name="gr-1", address="10.64.1.1/24"
    )
    networks = driver.NetworkDriver(lxd)
    networks.create(spec)
    first, get = lxd.networks["gr-1"], lxd.get
    statuses = iter(["Unavailable"] * 4)

    def unfinished(path: str, **options: str) -> object:
        found = get(path, **options)
        is_first = path == "networks/gr-1" and lxd.networks["gr-1"] is first
        return {**found, "status": next(statuses, "Pending")} if is_first else found

    monkeypatch.setattr(lxd, "get", unfinished)
    networks.update(spec, spec)
    assert lxd.networks["gr-1"] is not first


@pytest.mark.parametrize(("answers", "made_again"), [(3, False), (10**6, True)])
def test_pending_bridge_is_waited_for_then_recreated(
    answers: int, made_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted leaves LXD at work; what it never finished is made again."""
    monkeypatch.setattr(driver, "SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.01)
    lxd = fake.FakeLxd()
    spec = model.NetworkSpec(
        host="ssh://lab", owner="grappe/alice", name="gr-1", address="10.64.1.1/24"
    )
    networks = driver.NetworkDriver(lxd)
    networks.create(spec)
    first, asked = lxd.networks["gr-1"], iter(range(10**7))
    get = lxd.get

    def pending(path: str, **options: str) -> object:
        found = get(path, **options)
        is_first = path == "networks/gr-1" and lxd.networks["gr-1"] is first
        return {**found, "status": "Pending"} if is_first and next(asked) < answers else found

    monkeypatch.setattr(lxd, "get", pending)
    networks.update(spec, spec)
    assert made_again is (lxd.networks["gr-1"] is not first)


def test_our_bridge_that_leads_to_an_address_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the kernel's routes; another's bridge keeps its settings."""
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0108A8C0\t0003\t0\t0\t0\t00000000\n"
        "lxdbr0\t0002400A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
        "gr-1\t0001400A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
    )
    monkeypatch.setattr(dial, "ROUTES", str(routes))
    assert "gr-1" == dial.bridge_to("10.64.1.10")
    assert "" == dial.bridge_to("10.64.2.10") == dial.bridge_to("10.64.3.10")
    assert "" == dial.bridge_to("192.168.1.10")
