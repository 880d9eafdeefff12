"""What a lab is made of, and what waits for what; Pulumi is mocked, no host is there."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.student_lab import StudentLab
from stacks import plan, spec


class Recorder(mocks.Mocks):
    """Answers like the engine in a preview; records the registered resources."""

    def __init__(self) -> None:
        self.resources: dict[str, mocks.MockResourceArgs] = {}
        self.waits: dict[str, set[str]] = {}

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Keep a resource; the preflight learns the address."""
        self.resources[args.name] = args
        outputs = dict(args.inputs)
        if args.typ.endswith(":Preflight"):
            outputs["address"] = outputs["address"] or "192.168.8.10"
        return args.name, outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        """No function is called."""
        raise AssertionError(args)


class Monitor(mocks.MockMonitor):
    """Keeps what each resource waits for."""

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's
        """Keep the names of what a resource depends on."""
        self.mocks.waits[request.name] = {urn.rpartition("::")[2] for urn in request.dependencies}
        return super().RegisterResource(request)


def build(**changes: str) -> tuple[Recorder, list[dict[str, Any]]]:
    """Build a lab, and return what was registered and the servers' cards."""
    recorder = Recorder()
    config = {
        "grappe:host": "ssh://lab", "grappe:workstation": "netns:ws", "grappe:number": "1", **changes,
    }  # fmt: skip
    lab = spec.parse(config, project="grappe", stack="alice")
    mocks.set_mocks(recorder, preview=True, monitor=Monitor(recorder))
    cards: list[dict[str, Any]] = []

    @pulumi.runtime.test
    def run() -> pulumi.Output[None]:
        return StudentLab(plan.plan(lab)).servers.apply(cards.extend)

    run()
    return recorder, cards


def names(recorder: Recorder, kind: str) -> list[str]:
    return sorted(n for n, args in recorder.resources.items() if args.typ.endswith(f":{kind}"))


def test_default_lab_registers_two_servers() -> None:
    """Each resource of the sheet by its logical name, and the first server's card."""
    recorder, cards = build()
    assert ["preflight"] == names(recorder, "Preflight")
    assert ["grappe-alice"] == names(recorder, "Project")
    assert ["gr-1"] == names(recorder, "Network")
    for kind, end in (("Container", ""), ("Rule", "-ssh"), ("Backend", "-web"),
                      ("Entry", "-hosts"), ("Probe", "-probe")):  # fmt: skip
        assert [f"alice-yuno1{end}", f"alice-yuno2{end}"] == names(recorder, kind)
    assert {
        "name": "yuno1", "domain": "yuno1.alice.grappe.test", "address": "10.64.1.10",
        "ssh": {"host": "192.168.8.10", "port": 22222, "user": "admin"},
        "urls": ["http://yuno1.alice.grappe.test/", "https://yuno1.alice.grappe.test/"],
    } == cards[0]  # fmt: skip


@pytest.mark.parametrize(("adopt", "first"), [("false", "grappe-alice"), ("true", "alice-yuno1")])
def test_routes_to_a_server_wait_for_nothing_slow(adopt: str, first: str) -> None:
    """With `adopt` a backend waits for its server; a probe waits for rule, backend and server."""
    recorder, _cards = build(**{"grappe:adopt": adopt})
    waits = recorder.waits
    assert {first} == waits["alice-yuno1-web"]
    assert {"preflight", "grappe-alice"} == waits["alice-yuno1-hosts"]
    assert {"preflight"} == waits["alice-yuno1-ssh"]
    assert {"gr-1", "grappe-alice", "alice-yuno1-ssh"} == waits["alice-yuno1"]
    assert {"alice-yuno1-ssh", "alice-yuno1-web", "alice-yuno1"} <= waits["alice-yuno1-probe"]


def test_every_resource_carries_its_host_and_owner() -> None:
    """The host is an input of each; entries and probes act on the workstation."""
    recorder, _cards = build()
    for args in recorder.resources.values():
        if args.typ.startswith("pulumi-python:"):
            kind = args.typ.rpartition(":")[2]
            host = "netns:ws" if kind in {"Entry", "Probe"} else "ssh://lab"
            assert (host, "grappe/alice") == (args.inputs["host"], args.inputs["owner"])


def test_lab_without_a_workstation_has_no_entry_or_probe() -> None:
    """`grappe:workstation: none`."""
    recorder, _cards = build(**{"grappe:workstation": "none"})
    assert [] == names(recorder, "Entry") + names(recorder, "Probe")


def test_a_stopped_server_is_not_probed() -> None:
    """It could not answer."""
    servers = '[{"name": "a", "state": "stopped"}, {"name": "b"}]'
    recorder, _cards = build(**{"grappe:servers": servers})
    assert ["alice-b-probe"] == names(recorder, "Probe")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("", "")),
        ({"grappe:address": "192.168.8.10", "grappe:interface": "eth0"}, ("192.168.8.10", "eth0")),
        ({"grappe:address": "203.0.113.7"}, ("", "")),
    ],
)
def test_rule_has_the_address_if_an_interface_is_set(
    changes: dict[str, str], expected: tuple[str, str]
) -> None:
    """Otherwise it matches any local address; the address is only shown on the card."""
    recorder, cards = build(**changes)
    rule = recorder.resources["alice-yuno1-ssh"].inputs
    assert expected == (rule["address"], rule["interface"])
    assert cards[0]["ssh"]["host"] == changes.get("grappe:address", "192.168.8.10")
