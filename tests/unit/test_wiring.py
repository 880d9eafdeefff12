"""What each kind of stack registers, whole: inputs, what waits for what, and how it is replaced.

The right answer is a file in golden/, read and agreed to once; a change of it is read again:
`python -m tests.unit.test_wiring` writes it.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components import stack as stacks
from hosts import ssh_settings
from stacks import kinds, recipe
from stacks.lab_host import LabHostSpec

GOLDEN = pathlib.Path(__file__).parent / "golden" / "wiring.json"
COMMON = {"grappe:host": "ssh://lab", "grappe:id": "abcdefabcdef"}
STACKS: dict[str, dict[str, str]] = {
    "student": {
        **COMMON,
        "grappe:number": "7",
        "grappe:student": "alice",
        "grappe:workstation": "netns:ws",
        "grappe:address": "192.168.8.10",
        "grappe:interface": "eth0",
        "grappe:profiles": '["default", "labs"]',
        "grappe:config": '{"boot.autostart": "false"}',
        "grappe:limits": '{"memory": "1GiB", "cpu": "1"}',
        "grappe:disk": "5GiB",
        "grappe:pool": "fast",
        "grappe:quota": '{"containers": 3, "cpu": 4, "memory": "4GiB", "disk": "20GiB"}',
        "grappe:default": "yuno2",
        "grappe:login": "admin_a",
        "grappe:adopt": "true",
        "grappe:password": "only-for-this-test",
        "grappe:tunnel": json.dumps({
            "relay": "ssh://root@relay",
            "forwards": [{"listen": 8080, "port": 80},
                         {"listen": 2201, "port": 22, "server": "yuno1"}],
        }),
        "grappe:servers": json.dumps([
            {"name": "yuno1", "recipe": "standin", "publish": "by-hand",
             "volumes": [{"name": "data", "path": "/srv/data", "size": "1GiB", "pool": "big"}],
             "snapshots": ["fresh"], "target": "member2",
             "devices": {"side": {"type": "proxy", "listen": "tcp:127.0.0.1:1",
                                  "connect": "tcp:127.0.0.1:2"}}},
            {"name": "yuno2", "image": "by-hand", "ephemeral": True},
            {"name": "yuno3", "image": "other", "state": "stopped", "limits": {"memory": "2GiB"}},
        ]),
    },
    "fresh": {
        **COMMON,
        "grappe:number": "8",
        "grappe:student": "bob",
        "grappe:workstation": "netns:ws",
        "grappe:password": "only-for-this-test",
        "grappe:servers": '[{"name": "yuno1", "names": ["www", "wiki"]}]',
    },
    "by hand": {
        **COMMON,
        "grappe:number": "10",
        "grappe:student": "carol",
        "grappe:workstation": "netns:ws",
    },
    "image": {**COMMON, "grappe:kind": "image", "grappe:recipe": "standin", "grappe:number": "9",
              "grappe:alias": "golden", "grappe:adopt": "true"},
    "host": {**COMMON, "grappe:kind": "host", "grappe:second_disk": "/dev/sdb"},
}  # fmt: skip


class Recorder(mocks.Mocks):
    """Answers as the engine in a preview does."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Return outputs that name their resource."""
        outputs = dict(args.inputs)
        kind = args.typ.rpartition(":")[2]
        known = {
            "Preflight": ("relay_address", "relay_port", "relay_key", "address"),
            "Container": ("container_id",), "Key": ("public_key",),
            "PostInstall": ("user",), "PublishedImage": ("fingerprint",),
        }  # fmt: skip
        for name in known.get(kind, ()):
            outputs[name] = outputs.get(name) or f"<{name} of {args.name}>"
        return args.name, outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        """No function is called."""
        raise AssertionError(args)


class Monitor(mocks.MockMonitor):
    """Records what is registered."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.seen: dict[str, Any] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's
        """Keep a resource."""
        if request.custom:
            inputs = pulumi.runtime.rpc.deserialize_properties(request.object)
            hidden = {key for key in inputs if key == "__provider" or inputs[key] is None}
            kind = request.type.rpartition(":")[2]
            deleted_with = request.deletedWith.rpartition("::")[2]
            replaced = sorted(urn.rpartition("::")[2] for urn in request.replace_with)
            self.seen[f"{kind} {request.name}"] = {
                "inputs": {key: _plain(value) for key, value in sorted(inputs.items())
                           if key not in hidden},
                "waits for": sorted(urn.rpartition("::")[2] for urn in request.dependencies),
                "deleted first": request.deleteBeforeReplace,
                **({"deleted with": deleted_with} if deleted_with else {}),
                **({"replaced with": replaced} if replaced else {}),
                "secret": sorted(request.additionalSecretOutputs),
            }  # fmt: skip
        return super().RegisterResource(request)


def _plain(value: Any) -> Any:
    if pulumi.runtime.rpc.is_rpc_secret(value):
        return {"secret": pulumi.runtime.rpc.unwrap_rpc_secret(value)}
    # Scripts have tests of their own.
    return f"{value[:40]}..." if isinstance(value, str) and len(value) > 200 else value


def wiring(stack: str) -> dict[str, Any]:
    """Register a stack; return its resources and outputs."""
    config = STACKS[stack]
    secrets = [key for key in config if key.endswith(":password")]
    spec = kinds.parse(config, project="grappe", stack=stack, secrets=secrets)
    recorder = Recorder()
    monitor = Monitor(recorder)
    mocks.set_mocks(recorder, preview=False, monitor=monitor)
    pulumi.runtime.set_all_config(config, secrets)

    @pulumi.runtime.test
    def run() -> pulumi.Output[Any]:
        outputs = stacks.build(spec)
        return pulumi.Output.from_input(outputs).apply(
            lambda known: monitor.seen.update(outputs=json.loads(json.dumps(known, default=str)))
        )

    run()
    # The recipe's content is not part of the wiring.
    digest = recipe.read("standin").digest
    return dict(json.loads(json.dumps(monitor.seen).replace(digest, "<recipe>")))


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is reached, without an ssh."""
    _reach(monkeypatch)


def _reach(patch: pytest.MonkeyPatch) -> None:
    made = ssh_settings.Connection(
        host="192.168.8.10", port=22, user="root", host_key="ssh-ed25519 AAAA", private_key="k",
        agent="",
    )  # fmt: skip

    def reach(_spec: LabHostSpec) -> ssh_settings.Connection:
        return made

    patch.setattr(stacks, "_connection", reach)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.usefixtures("reached")
def test_stack_registers_the_resources_of_the_golden_file(stack: str) -> None:
    """Every resource, with inputs and dependencies."""
    expected = json.loads(GOLDEN.read_text())[stack]
    found = wiring(stack)
    assert sorted(expected) == sorted(found)
    for name, resource in expected.items():
        assert resource == found[name], name


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        _reach(patch)
        found = {stack: wiring(stack) for stack in STACKS}
    GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
