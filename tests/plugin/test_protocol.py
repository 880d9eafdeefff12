"""The provider plugin over gRPC, as a process of its own and attached to this one; no engine."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import pathlib
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from core import codec
from engine import attached
from providers.golden_preflight.resource import GoldenPreflightProvider
from providers.haproxy.resource import BackendProvider
from providers.host_preflight.resource import HostPreflightProvider
from providers.hosts_file.resource import EntryProvider
from providers.lxd.container.resource import ContainerProvider
from providers.lxd.exec.resource import ExecProvider
from providers.lxd.image.resource import ImageProvider
from providers.lxd.network.resource import NetworkProvider
from providers.lxd.postinstall.resource import PostInstallProvider
from providers.lxd.project.resource import ProjectProvider
from providers.lxd.published.resource import PublishedProvider
from providers.lxd.snapshot.resource import SnapshotProvider
from providers.lxd.volume.resource import VolumeProvider
from providers.nat.opening.resource import OpeningProvider
from providers.nat.resource import RuleProvider
from providers.preflight.resource import PreflightProvider
from providers.probe.resource import ProbeProvider
from providers.relay.resource import DoorProvider
from providers.tunnel.key.resource import KeyProvider
from providers.tunnel.resource import TunnelProvider

ROOT = pathlib.Path(__file__).parent.parent.parent

# Every state holds these paths: renaming one makes old states unreadable.
FROZEN = {
    BackendProvider: "providers.haproxy.resource BackendProvider",
    ContainerProvider: "providers.lxd.container.resource ContainerProvider",
    ExecProvider: "providers.lxd.exec.resource ExecProvider",
    GoldenPreflightProvider: "providers.golden_preflight.resource GoldenPreflightProvider",
    OpeningProvider: "providers.nat.opening.resource OpeningProvider",
    PostInstallProvider: "providers.lxd.postinstall.resource PostInstallProvider",
    SnapshotProvider: "providers.lxd.snapshot.resource SnapshotProvider",
    VolumeProvider: "providers.lxd.volume.resource VolumeProvider",
    DoorProvider: "providers.relay.resource DoorProvider",
    TunnelProvider: "providers.tunnel.resource TunnelProvider",
    KeyProvider: "providers.tunnel.key.resource KeyProvider",
    HostPreflightProvider: "providers.host_preflight.resource HostPreflightProvider",
    EntryProvider: "providers.hosts_file.resource EntryProvider",
    ImageProvider: "providers.lxd.image.resource ImageProvider",
    NetworkProvider: "providers.lxd.network.resource NetworkProvider",
    PreflightProvider: "providers.preflight.resource PreflightProvider",
    ProbeProvider: "providers.probe.resource ProbeProvider",
    ProjectProvider: "providers.lxd.project.resource ProjectProvider",
    PublishedProvider: "providers.lxd.published.resource PublishedProvider",
    RuleProvider: "providers.nat.resource RuleProvider",
}

COMMON = {"host": "local:", "owner": "grappe/test", "name": "yuno1_ssh"}
RULE = {
    **COMMON, "port": 22222, "target_address": "10.64.1.10", "target_port": 22,
    "comment": "yuno1_ssh",
}  # fmt: skip


@contextlib.contextmanager
def process() -> Iterator[int]:
    """The plugin's own process, as `pulumi-resource-pulumi-python` starts it; yields its port."""
    started = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic"], cwd=ROOT, stdout=subprocess.PIPE,
        env={**os.environ, "PULUMI_PROJECT": "grappe"},
    )  # fmt: skip
    assert started.stdout
    yield int(started.stdout.readline())
    started.terminate()
    started.wait()


@contextlib.contextmanager
def attached_process() -> Iterator[int]:
    """This process, as `lab` serves the engines that it starts; yields its port."""
    with attached.serve(lambda: None, "grappe") as server:
        server.begin("up")
        yield int(server.environment["PULUMI_DEBUG_PROVIDERS"].rpartition(":")[2])


@pytest.fixture(scope="module", params=[process, attached_process], ids=["process", "attached"])
def plugin(request: pytest.FixtureRequest) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The plugin, as a process of its own and attached to this one."""
    with request.param() as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest(args=struct_pb2.Struct()))
        yield stub


def struct(provider: type, values: dict[str, Any]) -> struct_pb2.Struct:
    """Encode values as Pulumi does: numbers become floats, None becomes null."""
    message = struct_pb2.Struct()
    message.update({**values, "__provider": serialize_provider(provider())})
    return message


def values(message: struct_pb2.Struct) -> dict[str, Any]:
    """Decode values, without the provider."""
    return {key: value for key, value in message.items() if key != "__provider"}


@pytest.mark.parametrize("provider", FROZEN, ids=lambda provider: provider.__name__)
def test_serialized_path_of_a_provider_is_frozen(provider: type) -> None:
    """A provider is pickled by reference, and to the same bytes each time."""
    text = serialize_provider(provider())
    raw = base64.b64decode(text)
    module, _, name = FROZEN[provider].partition(" ")
    assert module.encode() in raw
    assert name.encode() in raw
    assert len(raw) < 120
    assert type(pickle.loads(raw)) is provider  # noqa: S301 - our own bytes
    assert text == serialize_provider(provider())
    assert not provider.serialize_as_secret_always


def test_check_fills_defaults_and_makes_floats_whole(plugin: Any) -> None:
    """22222.0 becomes the port 22222; omitted fields get their defaults."""
    request = provider_pb2.CheckRequest(news=struct(RuleProvider, {**RULE, "address": None}))
    answer = plugin.Check(request)
    assert not answer.failures
    filled = {"address": "", "interface": "", "protocol": "tcp", "adopt": False, "bridge": "",
              "lab": "", "drift": ""}  # fmt: skip
    assert {**RULE, **filled} == values(answer.inputs)


def test_state_of_an_older_grappe_is_no_change(plugin: Any) -> None:
    """Fields that have come since are at their defaults, and replace nothing."""
    old = {**COMMON, "name": "yuno1", "project": "grappe-a", "image": "i", "network": "gr-1",
           "address": "10.64.1.10"}  # fmt: skip
    news = plugin.Check(provider_pb2.CheckRequest(news=struct(ContainerProvider, old))).inputs
    request = provider_pb2.DiffRequest(olds=struct(ContainerProvider, old), news=news)
    answer = plugin.Diff(request)
    assert provider_pb2.DiffResponse.DIFF_NONE == answer.changes
    assert [] == list(answer.replaces)


def test_check_reports_all_mistakes_on_the_empty_property(plugin: Any) -> None:
    """One failure, no property named, every mistake in it, no control characters."""
    bad = {**RULE, "port": 0, "target_address": "", "comment": "a\x1b[31m b", "unknown": "x"}
    answer = plugin.Check(provider_pb2.CheckRequest(news=struct(RuleProvider, bad)))
    (failure,) = answer.failures
    assert "" == failure.property
    assert "unknown" in failure.reason
    del bad["unknown"]
    answer = plugin.Check(provider_pb2.CheckRequest(news=struct(RuleProvider, bad)))
    (failure,) = answer.failures
    assert "3 mistakes, nothing was changed" in failure.reason
    for words in ("port", "without a target", r"a\x1b[31m b"):
        assert words in failure.reason
    assert "\x1b" not in failure.reason


def test_unknown_value_passes_check(plugin: Any) -> None:
    """What cannot be known in a preview is not a mistake."""
    news = struct(RuleProvider, {**RULE, "target_address": codec.UNKNOWN})
    answer = plugin.Check(provider_pb2.CheckRequest(news=news))
    assert not answer.failures


def test_diff_of_equal_inputs_is_empty(plugin: Any) -> None:
    """Outputs, floats and missing None are no difference."""
    checked = values(
        plugin.Check(provider_pb2.CheckRequest(news=struct(RuleProvider, RULE))).inputs
    )
    olds = struct(RuleProvider, checked)
    request = provider_pb2.DiffRequest(id="x", olds=olds, news=struct(RuleProvider, checked))
    assert provider_pb2.DiffResponse.DIFF_NONE == plugin.Diff(request).changes


@pytest.mark.parametrize(
    ("field", "value", "replaces"), [("port", 22223, []), ("name", "other", ["name"])]
)
def test_diff_names_the_replacing_fields(
    plugin: Any, field: str, value: Any, replaces: list[str]
) -> None:
    """A port changes in place; a name is another rule, the old one deleted first."""
    request = provider_pb2.DiffRequest(
        id="x", olds=struct(RuleProvider, RULE), news=struct(RuleProvider, {**RULE, field: value})
    )
    answer = plugin.Diff(request)
    assert provider_pb2.DiffResponse.DIFF_SOME == answer.changes
    assert replaces == list(answer.replaces)
    assert answer.deleteBeforeReplace


def test_drift_alone_is_a_difference(plugin: Any) -> None:
    """What a refresh found wrong is mended by an update."""
    olds = struct(RuleProvider, {**RULE, "drift": "the rule is not loaded in the kernel"})
    request = provider_pb2.DiffRequest(id="x", olds=olds, news=struct(RuleProvider, RULE))
    assert provider_pb2.DiffResponse.DIFF_SOME == plugin.Diff(request).changes


class TestProbe:
    """create and read of a probe over gRPC, against a server on loopback."""

    def spec(self, port: int, seconds: int = 5) -> dict[str, Any]:
        """Return a probe of HTTP on a port."""
        check = {"kind": "http", "port": port, "domain": "a.test"}
        return {**COMMON, "address": "127.0.0.1", "checks": [check], "seconds": seconds}

    def test_probe_is_created_and_drifts_with_the_reason(self, plugin: Any) -> None:
        """It is created while the server answers; afterwards read reports drift with the reason."""
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        request = provider_pb2.CreateRequest(properties=struct(ProbeProvider, self.spec(port)))
        created = plugin.Create(request)
        assert "grappe/test/yuno1_ssh" == created.id
        assert created.properties["machine_id"]
        server.shutdown()
        server.server_close()

        read = plugin.Read(provider_pb2.ReadRequest(id=created.id, properties=created.properties))
        assert "Connection refused" in read.properties["drift"]
        assert read.properties["drift"] == read.inputs["drift"]

    def test_twelve_probes_wait_at_once(self, plugin: Any) -> None:
        """None holds up another: the server answers when all have come."""
        together = threading.Barrier(12, timeout=20)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                together.wait()
                self.send_response(200)
                self.end_headers()

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec = self.spec(server.server_address[1])
        request = provider_pb2.CreateRequest(properties=struct(ProbeProvider, spec))
        created = [plugin.Create.future(request) for _turn in range(12)]
        assert 12 == len([each.result(timeout=40) for each in created])
        server.shutdown()
        server.server_close()

    def test_probe_failure_is_reported_without_a_traceback(self, plugin: Any) -> None:
        """No traceback: what failed, what was seen, what to do."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        request = provider_pb2.CreateRequest(properties=struct(ProbeProvider, self.spec(port, 0)))
        with pytest.raises(grpc.RpcError) as failure:
            plugin.Create(request)
        said = failure.value.details()
        assert "yuno1_ssh cannot be reached from the workstation (local:)" in said
        assert f"http a.test:{port}: ConnectionRefusedError" in said
        assert "Traceback" not in said

    def test_another_machine_under_the_same_url_is_an_error(self, plugin: Any) -> None:
        """Read does not trust another machine that the resource is missing."""
        props = struct(ProbeProvider, {**self.spec(80), "machine_id": "another"})
        with pytest.raises(grpc.RpcError) as failure:
            plugin.Read(provider_pb2.ReadRequest(id="x", properties=props))
        assert "is another machine than the one" in failure.value.details()
        assert "./lab forget test" in failure.value.details()
