"""What a student's bridge is told."""

from __future__ import annotations

import io

import pytest

from providers.lxd import fake
from providers.lxd.network import driver, model
from remote import bridge


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
def test_bridge_of_a_kernel_that_forwards_nothing_has_lost_its_way(
    text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LXD switches it on again where the bridge's setting changes, as for its masquerade."""
    monkeypatch.setattr(bridge, "_masquerades", lambda _subnet: True)
    monkeypatch.setattr(bridge, "open", lambda _path: io.StringIO(text), raising=False)
    found = bridge.main({"name": "gr-none", "subnet": "10.64.1.0/24"})
    assert (words in found, bool(words)) == (True, bool(found))


@pytest.mark.parametrize(("looks", "made_again"), [(3, False), (10**6, True)])
def test_bridge_that_lxd_may_still_be_making_is_waited_for(
    looks: int, made_again: bool, monkeypatch: pytest.MonkeyPatch
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
        return {**found, "status": "Pending"} if is_first and next(asked) < looks else found

    monkeypatch.setattr(lxd, "get", pending)
    networks.update(spec, spec)
    assert made_again is (lxd.networks["gr-1"] is not first)
