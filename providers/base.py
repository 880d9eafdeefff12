"""The one adapter between Pulumi's dynamic protocol and a kind of resource.

A kind says what it is (a `wire.Spec`) and how it is done (a `Driver`); this
module does everything that the protocol asks: check, diff, create, read,
update, delete. A provider is pickled by its import path into every state, so
the module and class names of providers must not change.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, NoReturn, Protocol, TypeVar

import pulumi
from pulumi import dynamic

from providers import errors, watch, wire
from providers.hosts import gateway

S = TypeVar("S", bound=wire.Spec)
T = TypeVar("T")
Outputs = dict[str, Any]

# What every resource carries beside its own inputs and outputs.
MACHINE = "machine_id"
DRIFT = "drift"


@dataclasses.dataclass(frozen=True)
class Reading(Generic[S]):
    """What is really there.

    Attributes:
        spec: The thing as it is, in the words of its spec.
        outputs: What only the host can tell of it.
        drift: What is wrong with it that the spec has no word for; empty when all is well.
    """

    spec: S
    outputs: Outputs = dataclasses.field(default_factory=dict)
    drift: str = ""


class Driver(Protocol[S]):
    """How a kind of resource is done on one host."""

    def create(self, spec: S) -> Outputs:
        """Make it, or finish what an interrupted run left of it; return its outputs."""

    def read(self, spec: S) -> Reading[S] | None:
        """Return what is there; None only when the host says that it is gone."""

    def update(self, old: S, new: S) -> Outputs:
        """Change it in place, also where only drift is to be mended."""

    def delete(self, spec: S) -> None:
        """Remove it; what is gone already is well."""


# Taken by the first provider of a process.
_prepared = threading.Lock()


def _load() -> None:
    """Load what nearly every run needs and takes long, while the host is reached."""
    for name in ("pylxd", "jinja2"):
        importlib.import_module(name)


class Provider(dynamic.ResourceProvider, Generic[S]):
    """A dynamic provider of one kind; a subclass names its spec and its driver."""

    # Nothing secret is captured in a provider: keep it readable in the state.
    serialize_as_secret_always = False
    spec: ClassVar[type[wire.Spec]]

    def driver(self, host: gateway.Host) -> Driver[S]:
        """Return the driver for a host."""
        raise NotImplementedError

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Prepare the process that serves this provider, and those after it."""
        if not _prepared.acquire(blocking=False):
            return
        watch.end_with_engine()
        student = req.config.get("grappe:kind") in (None, "student")
        for key in ("host", "workstation") if student else ("host",):
            text = req.config.get(f"grappe:{key}")
            if text and text != "none":
                gateway.prepare(str(text))
        threading.Thread(target=_load, daemon=True).start()

    def examine(self, spec: S) -> tuple[S, list[wire.Mistake]]:
        """Look at the host, read only, before anything is planned; most kinds need not."""
        return spec, []

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Refuse what cannot be, all of it at once."""
        properties = wire.clean(news)
        properties.pop(DRIFT, None)
        if wire.has_unknown(properties):
            return dynamic.CheckResult({**properties, DRIFT: ""}, [])
        try:
            spec: Any = wire.decode(self.spec, properties)
            mistakes = spec.mistakes()
            if not mistakes:
                spec, mistakes = _spoken(lambda: self.examine(spec))
            properties = wire.encode(spec)
        except wire.Mistakes as found:
            mistakes = found.mistakes
        failures = []
        if mistakes:
            # On the empty property: the engine prints the value of a named one.
            failures.append(dynamic.CheckFailure("", tell(mistakes)))
        return dynamic.CheckResult({**properties, DRIFT: ""}, failures)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare our own keys with what is really there, on the host where it was made.

        Looking here, and not by a refresh before each run, spares a run a second start of
        the plugin: a plan of what has drifted costs one look. A host under a new URL may still be
        the same host.
        """
        # A state that an older Grappe wrote has not the fields that have come since.
        old, new = {**wire.defaults(self.spec), **wire.clean(olds)}, wire.clean(news)
        if old.get(MACHINE):
            spec = self._decode(olds)
            _host, reading = _spoken(
                lambda: self._act(spec, lambda driver: driver.read(spec), props=olds)
            )
            if reading is None:
                _say(spec, ["it is gone"])
                return dynamic.DiffResult(
                    changes=True, replaces=["name"], delete_before_replace=True
                )
            _say(spec, _drifted(spec, reading))
            old |= {**wire.encode(reading.spec), DRIFT: reading.drift}
        names = [field.name for field in dataclasses.fields(self.spec)]
        changed = {name for name in names if old.get(name) != new.get(name)}
        replaces = changed & self.spec.REPLACES
        if "host" in changed and not _same_machine(old, new):
            replaces.add("host")
        return dynamic.DiffResult(
            changes=bool(changed or old.get(DRIFT)),
            replaces=sorted(replaces),
            # Names, ports and addresses are fixed: the old one must go first. On another
            # machine nothing is in the way, and the old lab leaves in its own order.
            delete_before_replace="host" not in replaces,
        )

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Make the thing."""
        spec = self._decode(props)
        host, outputs = _spoken(lambda: self._act(spec, lambda driver: driver.create(spec)))
        return dynamic.CreateResult(spec.id, _state(spec, host, outputs))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Return what is really there, on the host where it was made."""
        spec = self._decode(props)
        host, reading = _spoken(
            lambda: self._act(spec, lambda driver: driver.read(spec), props=props)
        )
        if reading is None:
            return dynamic.ReadResult("", {})
        # What a look cannot see, as what a program said, is as it was.
        told = _state(reading.spec, host, reading.outputs)
        state = {**wire.clean(props), **told, DRIFT: reading.drift}
        inputs = {**wire.encode(reading.spec), DRIFT: reading.drift}
        return dynamic.ReadResult(id_, state, inputs)

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Change the thing in place."""
        old, new = self._decode(olds), self._decode(news)
        host, outputs = _spoken(lambda: self._act(new, lambda driver: driver.update(old, new)))
        # What an update has nothing new to say of is as it was.
        return dynamic.UpdateResult({**wire.clean(olds), **_state(new, host, outputs)})

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Remove the thing from the host where it was made."""
        spec = self._decode(props)
        _spoken(lambda: self._act(spec, lambda driver: driver.delete(spec), props=props))

    def _decode(self, properties: Mapping[str, Any]) -> S:
        known = {field.name for field in dataclasses.fields(self.spec)}
        ours = {key: value for key, value in wire.clean(properties).items() if key in known}
        spec: Any = wire.decode(self.spec, ours)
        return spec  # type: ignore[no-any-return]

    def _act(
        self, spec: S, action: Callable[[Driver[S]], T], *, props: Mapping[str, Any] | None = None
    ) -> tuple[gateway.Host, T]:
        host = _connect(spec)
        recorded = (props or {}).get(MACHINE)
        if recorded and recorded != host.machine_id:
            raise errors.HostError(
                f"{spec.host} is another machine than the one that {spec.id} was made on",
                seen=f"machine-id {host.machine_id}, and at the last `up` {recorded}",
                do=f"if the old one is gone for good: ./lab forget {stack_of(spec.owner)}",
            )
        return host, action(self.driver(host))


class Resource(dynamic.Resource):
    """A resource of one kind; a subclass names its provider."""

    provider: ClassVar[type[Provider[Any]]]
    # What it has beside its inputs, for a program to use.
    outputs: ClassVar[tuple[str, ...]] = (MACHINE,)

    def __init__(
        self,
        name: str,
        spec: wire.Spec,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **later: pulumi.Input[Any],
    ) -> None:
        """Register a resource.

        Args:
            name: Its logical name.
            spec: What it should be.
            opts: Pulumi's options.
            later: Fields of the spec that another resource knows.

        """
        properties = {**wire.encode(spec), **dict.fromkeys(self.outputs), **later}
        hidden = pulumi.ResourceOptions(additional_secret_outputs=sorted(spec.SECRETS))
        merged = pulumi.ResourceOptions.merge(opts, hidden) if spec.SECRETS else opts
        super().__init__(self.provider(), name, properties, merged)


def tell(mistakes: list[wire.Mistake]) -> str:
    """Return mistakes as a user reads them, one a line."""
    width = max(len(mistake.key) for mistake in mistakes)
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = [f"  {mistake.key:<{width}}  {mistake.reason}" for mistake in mistakes]
    return errors.escape("\n".join([f"{count}, nothing was changed", *lines]))


def stack_of(owner: str) -> str:
    """Return the stack's name of an owner."""
    return owner.rpartition("/")[2]


def _drifted(recorded: S, reading: Reading[S]) -> list[str]:
    """Return what is not as it was made, in words; a secret's value is not among them."""
    was, is_now = wire.encode(recorded), wire.encode(reading.spec)
    found = [
        f"{name} is {wire.show(is_now.get(name, ''))}, not {wire.show(was.get(name, ''))}"
        for name in was.keys() | is_now.keys()
        if was.get(name) != is_now.get(name) and name not in recorded.SECRETS
    ]
    return sorted(found) + [line for line in reading.drift.splitlines() if line.strip()]


def _say(spec: wire.Spec, drifted: list[str]) -> None:
    """Tell what has drifted where the engine shows what a plugin says."""
    for line in drifted:
        sys.stdout.write(errors.escape(f"{spec.id} has drifted: {line}") + "\n")
        sys.stdout.flush()


def _state(spec: wire.Spec, host: gateway.Host, outputs: Outputs) -> Outputs:
    return {**wire.encode(spec), **outputs, MACHINE: host.machine_id, DRIFT: ""}


def _connect(spec: wire.Spec) -> gateway.Host:
    try:
        return gateway.connect(spec.host)
    except errors.HostError as error:
        stack = stack_of(spec.owner)
        configured = _configured_host(stack)
        if configured in ("", spec.host):
            raise
        raise errors.HostError(
            f"{spec.id} was made on {spec.host}, which does not answer; "
            f"the stack now says {configured}",
            seen=str(error),
            do=f"bring {spec.host} back, or, if it is gone for good: ./lab forget {stack}",
        ) from error


def _configured_host(stack: str) -> str:
    """Return what the stack file says now: a refresh is given what it said at the last `up`."""
    path = pathlib.Path("stacks", f"Pulumi.{stack}.yaml")
    if not path.is_file():
        return ""
    for line in path.read_text().splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "grappe:host":
            return value.strip().strip("\"'")
    return ""


def _same_machine(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return bool(_spoken(lambda: gateway.connect(new["host"]).machine_id == old.get(MACHINE)))


def _spoken(action: Callable[[], T]) -> T:
    """Run an action; what fails is told in words, never as a bare exception's name."""
    try:
        return action()
    except errors.GrappeError:
        raise
    except Exception as error:  # noqa: BLE001 - told in words, with its cause
        _tell_bug(error)


def _tell_bug(error: Exception) -> NoReturn:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}" if trace else "?"
    raise errors.GrappeError(
        "Grappe met something it does not know; this is a fault in Grappe",
        seen=f"{type(error).__name__}: {error} (in {place})",
        do="running it again is safe; please report what was seen",
    ) from error
