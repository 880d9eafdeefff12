"""One process as program and plugin of many runs of the engine.

The engine connects to both instead of starting them: `--client` names the language host, and
PULUMI_DEBUG_PROVIDERS the plugin. So a run starts no Python of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.dynamic import Config, ConfigureRequest
from pulumi.dynamic.dynamic import ResourceProvider
from pulumi.runtime import proto, rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime._serialization import _deserialize
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    provider_pb2_grpc,
)

from core import errors, run

PROVIDER = "__provider"
THREADS = 64
# The option that makes the engine use a running language host.
INLINE = ("--exec-kind=auto.inline",)


Changes = Callable[[str, str], None]


class Language(LanguageServer):
    """Runs the program; keeps the engine from repeating an error that was logged."""

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Run the program; the engine itself adds no words to an error that was logged."""
        answer = super().Run(request, context)  # type: ignore[no-untyped-call]
        return language_pb2.RunResponse(bail=True) if answer.error else answer


class Providers:
    """The dynamic providers of one run, each unpickled and configured once.

    Args:
        project: The Pulumi project.
        config: The stack's configuration.
    """

    def __init__(self, project: str, config: Mapping[str, Any]) -> None:
        self._config = Config(raw_config=dict(config), project_name=project)
        self._known: dict[str, ResourceProvider] = {}

    def find(self, props: Mapping[str, Any]) -> ResourceProvider:
        """Return the provider that a resource's properties name."""
        import dill  # noqa: PLC0415

        text = props[PROVIDER]
        if text not in self._known:
            # As the SDK does: our own program wrote the text.
            provider = _deserialize(lambda: dill.loads(base64.b64decode(text)))  # noqa: S301
            provider.configure(ConfigureRequest(config=self._config))
            self._known[text] = provider
        return self._known[text]


class Plugin(proto.ResourceProviderServicer):
    """Dynamic providers, as the SDK's own plugin serves them, for one run of the engine at a time.

    Args:
        project: The Pulumi project, whose configuration the providers read.

    Attributes:
        arguments: Additional arguments of the engine's commands.
        environment: Additional variables of the engine.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def __init__(self, project: str) -> None:
        self._project = project
        self._providers = Providers(project, {})
        self._run = run.Run(command="")
        self._calls = 0
        self._lock = threading.Lock()
        self._engine: grpc.Channel | None = None

    def begin(
        self, command: str, rebuild: str | None = None, changes: Changes = lambda _what, _urn: None
    ) -> tuple[str, ...]:
        """Serve a command of the engine from now on; return its additional arguments.

        Args:
            command: The command.
            rebuild: The value of `REBUILD`; None for the environment's.
            changes: Called as each change begins, with the operation and the resource's URN.
        """
        self._run = run.Run(command=command, rebuild=rebuild, show=self._show, changes=changes)
        return self.arguments

    def close(self) -> None:
        """End the last run and cancel its calls."""
        self._run.cancelled.set()
        if self._engine:
            self._engine.close()

    def Attach(self, request: Any, _context: Any) -> Any:  # noqa: N802, D102
        self._engine = grpc.insecure_channel(request.address, options=_GRPC_CHANNEL_OPTIONS)
        return empty_pb2.Empty()

    def _show(self, text: str) -> None:
        """Show a line in the engine's output."""
        if self._engine is None:
            return
        line = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text)
        # An engine that has exited shows nothing.
        with contextlib.suppress(grpc.RpcError):
            engine_pb2_grpc.EngineStub(self._engine).Log(line)

    @contextlib.contextmanager
    def _serving(self, context: Any) -> Iterator[None]:
        """Serve a call of the run; if the engine abandons the call, cancel the run."""
        this, ended = self._run, threading.Event()

        def end() -> None:
            if not ended.is_set():
                this.cancelled.set()

        if not context.add_callback(end):
            # The engine has already gone.
            this.cancelled.set()
        with self._lock:
            self._calls += 1
        try:
            with run.entered(this):
                yield
        except errors.GrappeError as error:
            # The engine shows only the text.
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
            raise
        finally:
            ended.set()
            with self._lock:
                self._calls -= 1

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: ARG002, D102, N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    CheckConfig = DiffConfig = Handshake

    def Cancel(self, _request: Any, _context: Any) -> Any:  # noqa: N802, D102
        # The engine also cancels at the end of every run; only during a call is it an interrupt.
        with self._lock:
            if self._calls:
                self._run.cancelled.set()
        return empty_pb2.Empty()

    def GetPluginInfo(self, _request: Any, _context: Any) -> Any:  # noqa: N802, D102
        return proto.PluginInfo(version="0.1.0")

    def Configure(self, request: Any, _context: Any) -> Any:  # noqa: N802, D102
        given = rpc.deserialize_properties(request.args)
        config = {key: rpc.unwrap_rpc_secret(value) for key, value in given.items()}
        self._providers = Providers(self._project, config)
        return proto.ConfigureResponse(acceptSecrets=False)

    def _both(self, request: Any) -> tuple[ResourceProvider, dict[str, Any], dict[str, Any]]:
        """Return the provider of a plan's request, the old properties and the new ones."""
        olds, news = (
            rpc.deserialize_properties(each, True) for each in (request.olds, request.news)
        )
        provider = self._providers.find(olds if news[PROVIDER] == rpc.UNKNOWN else news)
        return provider, olds, news

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            provider, olds, news = self._both(request)
            result = provider.check(olds, news)
            failures = [
                proto.CheckFailure(property=item.property, reason=item.reason)
                for item in result.failures
            ]
            return proto.CheckResponse(inputs=_sent(result.inputs, news), failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            provider, olds, news = self._both(request)
            found = provider.diff(request.id, olds, news)
            some, none = proto.DiffResponse.DIFF_SOME, proto.DiffResponse.DIFF_NONE
            return proto.DiffResponse(
                changes=some if found.changes else none,
                replaces=found.replaces or [],
                deleteBeforeReplace=bool(found.delete_before_replace),
            )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            self._run.changes("creating", request.urn)
            props = rpc.deserialize_properties(request.properties)
            made = self._providers.find(props).create(props)
            return proto.CreateResponse(id=made.id, properties=_sent(made.outs, props))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            props = rpc.deserialize_properties(request.properties)
            found: Any = self._providers.find(props).read(request.id, props)
            inputs = None if found.inputs is None else _sent(found.inputs, props)
            return proto.ReadResponse(
                id=found.id, properties=_sent(found.outs, props), inputs=inputs
            )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            self._run.changes("updating", request.urn)
            olds, news = (rpc.deserialize_properties(each) for each in (request.olds, request.news))
            done = self._providers.find(news).update(request.id, olds, news)
            return proto.UpdateResponse(properties=_sent(done.outs, news))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        with self._serving(context):
            self._run.changes("deleting", request.urn)
            props = rpc.deserialize_properties(request.properties)
            self._providers.find(props).delete(request.id, props)
            return empty_pb2.Empty()


def _sent(values: Mapping[str, Any] | None, props: Mapping[str, Any]) -> Any:
    """Encode values for the protocol, with the provider from `props`."""
    loop = asyncio.new_event_loop()
    try:
        full = {**(values or {}), PROVIDER: props[PROVIDER]}
        return loop.run_until_complete(rpc.serialize_properties(full, {}))
    finally:
        loop.close()


@contextlib.contextmanager
def serve(program: Callable[[], None], project: str) -> Iterator[Plugin]:
    """Serve a program and the dynamic providers within this context.

    Args:
        program: The function that registers a stack's resources.
        project: The Pulumi project.
    """
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=_GRPC_CHANNEL_OPTIONS)
    listener = grpc.server(futures.ThreadPoolExecutor(THREADS), options=_GRPC_CHANNEL_OPTIONS)
    plugin = Plugin(project)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Language(program), server)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, listener)
    language, port = (each.add_insecure_port("127.0.0.1:0") for each in (server, listener))
    for each in (server, listener):
        each.start()
    plugin.arguments = (f"--client=127.0.0.1:{language}", *INLINE)
    plugin.environment = {"PULUMI_DEBUG_PROVIDERS": f"pulumi-python:{port}"}
    try:
        yield plugin
    finally:
        plugin.close()
        for each in (server, listener):
            each.stop(0).wait()
