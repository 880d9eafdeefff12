"""Find out without the engine whether a stack has nothing to do.

The program registers its resources with a monitor of ours instead of the engine's, and the
providers check them and compare them with the host, as in the engine's own plan. Where everything
is as recorded, the engine has nothing to change and need not start. Any difference, mistake or
doubt leaves the run to the engine, which does the same again and reports it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.dynamic.dynamic import ResourceProvider
from pulumi.runtime import rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    resource_pb2,
    resource_pb2_grpc,
)

from core import codec, errors, run
from engine import attached
from engine.passphrase import Passphrase
from engine.state import SECRET, State, with_secrets
from stacks import files

THREADS = 32
# The engine's features that the program's registrations use here.
FEATURES = {"secrets", "resourceReferences", "aliasSpecs", "deletedWith", "replaceWith"}
# The engine would only fail with these again, after waiting once more for a silent host.
REFUSALS = (errors.BadInputError, errors.HostError)
# The keys of a recorded resource that the engine has not finished.
UNSETTLED = ("delete", "taint", "pendingReplacement", "external", "initErrors")


class Differs(Exception):  # noqa: N818 - no error: the engine takes over
    """Something is not as recorded, or cannot be judged here."""


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """Answers registrations from the state, and notes the first difference.

    Args:
        recorded: The state's resources by URN, secrets in plain.
        state: The state; names the project and the stack.
        provider: Returns the provider for the properties of a dynamic resource.
        this: The run that the providers serve.

    Attributes:
        difference: The first difference found; empty without any.
        refusal: Why no run can go on: mistakes, or a host that does not answer.
        registered: The URNs that the program has registered.
        notes: The program's warnings and the providers' lines.
    """

    def __init__(
        self, recorded: Mapping[str, dict[str, Any]], state: State,
        provider: Callable[[Mapping[str, Any]], ResourceProvider], this: run.Run,
    ) -> None:  # fmt: skip
        self._recorded = recorded
        self._state = state
        self._provider = provider
        self._run = this
        self._lock = threading.Lock()
        self.difference = ""
        self.refusal: errors.GrappeError | None = None
        self.registered: set[str] = set()
        self.notes: list[str] = []

    def SupportsFeature(self, request: Any, _context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Return whether registrations may use a feature."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in FEATURES)

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Compare a resource with the state, and a dynamic one with its host."""
        with self._judged(context):
            urn = self._urn(request)
            recorded = self._recorded.get(urn)
            if recorded is None:
                raise Differs(f"{urn} is new")
            with self._lock:
                self.registered.add(urn)
            inputs = _values(request.object)
            _demand_same_relations(request, recorded)
            if request.custom:
                with run.entered(self._run):
                    self._compare(inputs, recorded)
            elif inputs != codec.clean(recorded.get("inputs") or {}):
                raise Differs(f"{urn} has other inputs")
            answer = resource_pb2.RegisterResourceResponse(urn=urn, id=recorded.get("id", ""))
            if request.custom:
                answer.object.update(recorded["wire"])
            return answer

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Compare the outputs of a component or of the stack with the state."""
        with self._judged(context):
            recorded = self._recorded.get(request.urn, {})
            if _values(request.outputs) != codec.clean(recorded.get("outputs") or {}):
                raise Differs(f"{request.urn} has other outputs")
            return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Let the program end."""
        return empty_pb2.Empty()

    def Log(self, request: Any, _context: Any) -> Any:  # noqa: N802
        """Note the program's warnings."""
        if request.severity >= engine_pb2.WARNING:
            self.notes.append(request.message)
        return empty_pb2.Empty()

    def SetRootResource(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Accept the stack's own resource."""
        return engine_pb2.SetRootResourceResponse()

    def _compare(self, inputs: dict[str, Any], recorded: dict[str, Any]) -> None:
        """Do as the engine's plan: check with the recorded inputs, compare with the outputs."""
        if inputs.get(codec.PROVIDER_KEY) != recorded["outputs"].get(codec.PROVIDER_KEY):
            # Another process could otherwise send this port a pickled provider of its own to run.
            raise Differs(f"{recorded['urn']} has another provider")
        provider = self._provider(inputs)
        checked = provider.check(recorded["inputs"], inputs)
        if checked.failures:
            raise errors.BadInputError("\n".join(item.reason for item in checked.failures))
        wanted = codec.clean(checked.inputs)
        # A check returns these among its inputs once they are known.
        known = getattr(provider, "OUTPUTS", ())
        found = provider.diff(recorded["id"], recorded["outputs"], wanted)
        if found.changes or _without(wanted, known) != _without(recorded["inputs"], known):
            raise Differs(f"{recorded['urn']} changes")

    def _urn(self, request: Any) -> str:
        kind = request.type
        if request.parent:
            parents = request.parent.split("::")[2]
            # The stack's own type is no part of its children's.
            if parents != "pulumi:pulumi:Stack":
                kind = f"{parents}${kind}"
        return f"urn:pulumi:{self._state.stack}::{self._state.project}::{kind}::{request.name}"

    @contextlib.contextmanager
    def _judged(self, context: Any) -> Iterator[None]:
        """Note a difference or an error, and end the program with it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the engine meets it again, and reports it
            if isinstance(error, REFUSALS):
                self.refusal = error
            self.difference = self.difference or str(error) or type(error).__name__
            context.abort(grpc.StatusCode.ABORTED, "left to the engine")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        difference: Why the engine must run; empty where it has nothing to do.
        notes: The program's warnings and the providers' lines.
        resources: The number of unchanged resources, as the engine counts them.
    """

    difference: str = ""
    notes: tuple[str, ...] = ()
    resources: int = 0


def compare(
    program: Callable[[], None], state: State, config: files.Configuration, this: run.Run
) -> Comparison:
    """Compare a stack's program with its state and with what is on the hosts; change nothing.

    Args:
        program: The function that registers the stack's resources.
        state: The stack's state.
        config: The stack's configuration.
        this: The run that the providers serve; cancelling it ends the comparison.

    Raises:
        errors.BadInputError: A check refuses something; the engine's would be the same.
        errors.HostError: A host does not answer, or refuses us.
    """
    try:
        return _compared(program, state, config, this)
    except REFUSALS:
        raise
    except Exception as error:  # noqa: BLE001 - the engine meets it again, and reports it
        return Comparison(str(error) or type(error).__name__)


def _compared(
    program: Callable[[], None], state: State, config: files.Configuration, this: run.Run
) -> Comparison:
    deployment = state.load()
    if state.locks or deployment.get("pending_operations") or not deployment.get("resources"):
        return Comparison("a run is under way, or none has ended")
    salt = str(((deployment.get("secrets_providers") or {}).get("state") or {}).get("salt") or "")
    if config.unusual or config.salt not in ("", salt):
        return Comparison(config.unusual or "the stack file has another encryptionsalt")
    secret = Passphrase(salt)
    plain = {key: secret.decrypt(text) for key, text in config.secrets.items()}
    recorded = _recorded(deployment["resources"], secret)
    given = {**config.plain, **plain}
    monitor = Monitor(recorded, state, attached.Providers(state.project, given).find, this)
    this.show = monitor.notes.append
    with _served(monitor) as address:
        request = language_pb2.RunRequest(
            project=state.project, stack=state.stack, monitor_address=address, args=[address],
            config=given, configSecretKeys=list(plain), dryRun=True, parallel=THREADS,
        )  # fmt: skip
        try:
            done = attached.Language(program).Run(request, None)
        except Exception as error:
            if monitor.refusal:
                raise monitor.refusal from None
            # The SDK raises an error of its own for the call that the monitor aborted.
            raise Differs(monitor.difference or str(error)) from error
    if monitor.refusal:
        raise monitor.refusal
    if monitor.difference or done.bail or this.cancelled.is_set():
        return Comparison(monitor.difference or "\n".join(monitor.notes) or "interrupted")
    missing = sorted(recorded.keys() - monitor.registered)
    if missing:
        return Comparison(f"{missing[0]} is to go")
    return Comparison(notes=tuple(monitor.notes), resources=len(recorded))


def _recorded(resources: list[dict[str, Any]], secret: Passphrase) -> dict[str, dict[str, Any]]:
    """Return the resources by URN, without the engine's own of the providers.

    Raises:
        Differs: One is to be deleted, replaced or finished.
    """
    found = {}
    for item in resources:
        if str(item["type"]).startswith("pulumi:providers:"):
            continue
        if any(item.get(key) for key in UNSETTLED) or item["urn"] in found:
            raise Differs(f"{item['urn']} is unfinished")
        inputs, outputs = (_decrypted(item.get(key) or {}, secret) for key in ("inputs", "outputs"))
        found[item["urn"]] = {
            **item, "inputs": _unwrapped(inputs), "outputs": _unwrapped(outputs), "wire": outputs,
        }  # fmt: skip
    return found


def _demand_same_relations(request: Any, recorded: dict[str, Any]) -> None:
    same = (
        set(request.dependencies) == set(recorded.get("dependencies") or [])
        and request.parent == recorded.get("parent", "")
        and request.protect == bool(recorded.get("protect"))
        and request.deletedWith == recorded.get("deletedWith", "")
    )
    if not same:
        raise Differs(f"{recorded['urn']} has other dependencies, or another parent")


def _without(inputs: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in codec.clean(inputs).items() if key not in known}


def _values(properties: struct_pb2.Struct) -> dict[str, Any]:
    """Return properties of the protocol as the plugin gets them: secrets in plain."""
    found = rpc.deserialize_properties(properties, True)
    plain = {key: rpc.unwrap_rpc_secret(value) for key, value in found.items()}
    provider = plain.get(codec.PROVIDER_KEY)
    return {**codec.clean(plain), **({codec.PROVIDER_KEY: provider} if provider else {})}


def _decrypted(value: Any, secret: Passphrase) -> Any:
    """Return a recorded value as the protocol has it, its secrets decrypted."""

    def decrypt(found: dict[str, Any]) -> dict[str, Any]:
        text = found.get("plaintext") or secret.decrypt(found["ciphertext"])
        return {**SECRET, "value": json.loads(text)}

    return with_secrets(value, decrypt)


def _unwrapped(value: Any) -> Any:
    """Return a value of the protocol without the wrappers of secrets."""
    return with_secrets(value, lambda found: _unwrapped(found["value"]))


@contextlib.contextmanager
def _served(monitor: Monitor) -> Iterator[str]:
    """Serve a monitor on a loopback port; yield its address."""
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=_GRPC_CHANNEL_OPTIONS)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(monitor, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
