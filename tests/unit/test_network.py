"""What a student's bridge is told."""

from __future__ import annotations

import io

import pytest

from providers.lxd.network import model
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
