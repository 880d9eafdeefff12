"""The one adapter between Pulumi's dynamic protocol and a kind of resource.

A kind has a spec (a `codec.Spec`) and a `Driver`; this module implements the
protocol: check, diff, create, read, update, delete. Pulumi pickles a provider
by its import path into every state, so the module and class names of providers
must not change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import secrets
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import pulumi
from pulumi import dynamic

from core import codec, errors, lifetime, problems, run
from hosts import connections
from hosts.host import Host
from providers import changes, recorded_machine, threads
from remote import identity

S = TypeVar("S", bound=codec.Spec)
Outputs = dict[str, Any]

INCARNATION = "incarnation"
DRIFT = changes.DRIFT
Reading = changes.Reading
stack_of = identity.stack_of
MACHINE = recorded_machine.ID


class Driver(Protocol[S]):
    """The operations of a kind of resource on one host."""

    def create(self, spec: S) -> Outputs:
        """Make the thing, or finish one that an interrupted run left; return its outputs."""

    def read(self, spec: S) -> Reading[S] | None:
        """Read the thing; return None only when the host says that it is gone."""

    def update(self, old: S, new: S) -> Outputs:
        """Change the thing in place, also to repair mere drift; by default `create` does so."""
        del old
        return self.create(new)

    def delete(self, spec: S) -> None:
        """Remove the thing; deleting one that is already gone succeeds."""


@runtime_checkable
class Sweeper(Protocol):
    """A driver that cleans up at the end of a destroy."""

    def sweep(self, spec: Any) -> list[str]:
        """Remove the lab's leftovers of unfinished runs everywhere; return their names."""

    def leave(self, spec: Any) -> list[str]:
        """Remove what is left of a lab on a lab host that it moved away from."""


@runtime_checkable
class Holder(Protocol):
    """A driver of objects that LXD does not delete while they contain leftovers."""

    def empty(self, spec: Any) -> list[str]:
        """Remove the lab's leftovers of unfinished runs inside; return their names."""


# The first provider of a process takes this lock.
_prepared = threading.Lock()


def preload() -> None:
    """Import slow modules that nearly every run needs, in the background."""

    def act() -> None:
        for name in ("pylxd", "jinja2"):
            importlib.import_module(name)

    threading.Thread(target=act, daemon=True).start()


@contextlib.contextmanager
def wrap_unexpected() -> Iterator[None]:
    """Wrap an unexpected exception into a GrappeError that asks for a report."""
    try:
        yield
    except (errors.GrappeError, problems.Mistakes):
        raise
    except Exception as error:
        raise errors.unexpected(error) from error


class Provider(dynamic.ResourceProvider, Generic[S]):
    """A dynamic provider of one kind; a subclass names its spec and its driver."""

    # A provider captures no secret: keep it readable in the state.
    serialize_as_secret_always = False
    spec: ClassVar[type[codec.Spec]]
    # The outputs that `stable_outputs` may return.
    OUTPUTS: ClassVar[tuple[str, ...]] = ()
    # Whether the thing holds students' work: in a move it goes last, once the lab is up elsewhere.
    HOLDS_WORK: ClassVar[bool] = False

    def driver(self, host: Host) -> Driver[S]:
        """Return the driver for a host."""
        raise NotImplementedError

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Prepare the process that serves this provider, and those after it."""
        this_run = run.current()
        this_run.lab = str(req.config.get("grappe:id") or "")
        if not _prepared.acquire(blocking=False):
            return
        if not this_run.is_attached:
            lifetime.end_with_engine()
            threads.widen()
        student = req.config.get("grappe:kind") in (None, "student")
        for key in ("host", "workstation") if student else ("host",):
            text = req.config.get(f"grappe:{key}")
            if text and text != "none":
                connections.prepare(str(text))
        preload()

    def examine(self, spec: S, _was: Mapping[str, Any]) -> tuple[S, list[problems.Mistake]]:
        """Survey the host, read only, before the plan; most kinds need not.

        Args:
            spec: The wanted spec.
            _was: The inputs of the last `up`, by field; empty in a replacement.
        """
        return spec, []

    def stable_outputs(self, _spec: S, _was: Mapping[str, Any]) -> Outputs:
        """Return the outputs that no change affects, so that a plan knows them."""
        return {}

    @wrap_unexpected()
    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Refuse invalid inputs, all of them at once."""
        properties, was = codec.clean(news), codec.clean(olds)
        run.current().checked.add(str(properties.get("owner", "")))
        for output in (DRIFT, INCARNATION, *self.OUTPUTS):
            properties.pop(output, None)
        if codec.has_unknown(properties):
            return dynamic.CheckResult({**properties, DRIFT: ""}, [])
        try:
            spec: Any = codec.decode(self.spec, properties)
            mistakes = spec.mistakes()
            if not mistakes:
                spec, mistakes = self.examine(spec, was)
            properties = _inputs(spec)
            run.current().wanted.add((spec.host, spec.id))
            if not mistakes and was:
                properties |= self.stable_outputs(spec, was)
        except problems.Mistakes as error:
            mistakes = error.mistakes
        failures = []
        if mistakes:
            # On the empty property: the engine prints the value of a named one.
            failures.append(dynamic.CheckFailure("", problems.summary(mistakes)))
        return dynamic.CheckResult({**properties, DRIFT: ""}, failures)

    @wrap_unexpected()
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.DiffResult:
        """Compare our own keys with the real thing, on the host where it was made.

        Reading here, and not by a refresh before each run, spares a run a second start of the
        plugin: finding drift costs one read. A host under a new URL may still be the same host.
        """
        wanted = codec.clean(news)
        # An older Grappe's state lacks the newer fields; and if the lab had no id then, its things
        # may carry one by now.
        was = self._decode(olds)
        whose = dataclasses.replace(was, lab=was.lab or str(wanted.get("lab") or ""))
        recorded = {**codec.clean(olds), **codec.encode(was)}
        reading: Reading[S] | None = Reading(was, drift=str(recorded.get(DRIFT) or ""))
        if recorded.get(MACHINE):
            _host, driver = self._reach(whose, olds)
            reading = driver.read(whose)
        planned: changes.Changes = changes.between(
            self.spec, recorded, reading, wanted,
            same_machine=recorded_machine.is_same(recorded, wanted),
        )  # fmt: skip
        moves = "host" in planned.replaces
        if not moves:
            report(was, [f"has drifted: {line}" for line in planned.drift])
        if reading is not None and reading.remake:
            report(was, [f"will be recreated, and its content will be lost: {reading.remake}"])
        return dynamic.DiffResult(
            changes=bool(planned),
            replaces=sorted(planned.replaces),
            # Names, ports and addresses are fixed: the old thing must go first. On another
            # machine it conflicts with nothing, and the old lab leaves in its own order.
            delete_before_replace=not moves,
        )

    @wrap_unexpected()
    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Make the thing, or take over the same lab's existing one."""
        spec = self._decode({**props, INCARNATION: _new_incarnation()})
        host, driver = self._reach(spec)
        return dynamic.CreateResult(spec.id, _state(spec, host, driver.create(spec)))

    @wrap_unexpected()
    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Read the real thing, on the host where it was made."""
        spec = self._recorded(props)
        host, driver = self._reach(spec, props)
        reading = driver.read(spec)
        if reading is None:
            return dynamic.ReadResult("", {})
        # Outputs that a read cannot see, such as a program's output, stay.
        live = _state(reading.spec, host, reading.outputs)
        state = {**codec.clean(props), **live, DRIFT: reading.drift}
        inputs = {**_inputs(reading.spec), DRIFT: reading.drift}
        return dynamic.ReadResult(id_, state, inputs)

    @wrap_unexpected()
    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Change the thing in place."""
        old = self._decode(olds)
        new = self._decode({**news, INCARNATION: old.incarnation or _new_incarnation()})
        host, driver = self._reach(new)
        state = _state(new, host, driver.update(old, new))
        # Outputs that an update does not return stay.
        return dynamic.UpdateResult({**codec.clean(olds), **state})

    @wrap_unexpected()
    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Remove the thing from the host where it was made.

        A replacement that the engine decides on creates first and deletes then; a thing that its
        create took over carries another incarnation, and stays.
        """
        spec = self._recorded(props)
        destroys = run.destroys(spec.owner)
        host, driver = self._reach(spec, props)
        here = (host.machine_id, host.boot_id)
        home = run.home(spec.owner, here)
        leaves = home != here
        if leaves and self.HOLDS_WORK:
            # At the end of the run its project's delete, or the old preflight's, removes it.
            report(spec, [f"stays on {spec.host} until the lab is up on its new host"])
            return
        # Clones of one template share the first id; a machine that was restarted has another boot.
        if isinstance(driver, Sweeper) and (destroys or home[0] != here[0]):
            _print_left(spec, driver.sweep(spec) if destroys else driver.leave(spec))
        if destroys or not self._taken_over(driver, spec):
            try:
                driver.delete(spec)
            except errors.DaemonError:
                if not isinstance(driver, Holder) or not (destroys or leaves):
                    raise
                if not (left := driver.empty(spec)):
                    raise
                if destroys:
                    _print_left(spec, left)
                driver.delete(spec)

    def drift(self, props: Mapping[str, Any]) -> tuple[str, ...]:
        """Return in words how the thing differs from the state; secrets are not compared.

        Raises:
            errors.GrappeError: Its host does not answer, or refuses.
        """
        plain = {
            key: "" if key in self.spec.SECRETS else value
            for key, value in codec.clean(props).items()
        }
        spec = self._recorded(plain)
        _host, driver = self._reach(spec, plain)
        reading = driver.read(spec)
        recorded = {**plain, **codec.encode(spec)}
        planned = changes.between(self.spec, recorded, reading, recorded, same_machine=True)
        return planned.drift

    def _taken_over(self, driver: Driver[S], spec: S) -> bool:
        """Whether a later create took over the thing; one without marks, if the run wants it."""
        if not spec.MARKED:
            # Another resource of the same id: `pulumi state rename` leaves the old one to delete.
            return (spec.host, spec.id) in run.current().wanted
        try:
            reading = driver.read(spec)
        except errors.NotOursError:
            if spec.lab:
                raise
            # The recorded lab had no id; now it has one.
            return True
        if reading is None or reading.spec.incarnation in {"", spec.incarnation}:
            return False
        report(spec, ["stays as it is: its replacement took it over"])
        return True

    def _recorded(self, properties: Mapping[str, Any]) -> S:
        """Return the spec in a state; one that is older than ids gets the lab's id."""
        spec = self._decode(properties)
        return spec if spec.lab else dataclasses.replace(spec, lab=run.current().lab)

    def _decode(self, properties: Mapping[str, Any]) -> S:
        known = {field.name for field in dataclasses.fields(self.spec)}
        ours = {key: value for key, value in codec.clean(properties).items() if key in known}
        spec: Any = codec.decode(self.spec, ours)
        return spec  # type: ignore[no-any-return]

    def _reach(
        self, spec: S, recorded: Mapping[str, Any] = types.MappingProxyType({})
    ) -> tuple[Host, Driver[S]]:
        """Return a resource's host, and the driver for it; see `recorded_machine.connect`."""
        host = recorded_machine.connect(spec, recorded)
        return host, self.driver(host)


class Resource(dynamic.Resource):
    """A resource of one kind; a subclass names its provider."""

    provider: ClassVar[type[Provider[Any]]]
    # Its outputs, for the program.
    outputs: ClassVar[tuple[str, ...]] = (MACHINE,)

    def __init__(
        self,
        name: str,
        spec: codec.Spec,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **later: pulumi.Input[Any],
    ) -> None:
        """Register a resource.

        Args:
            name: Its logical name.
            spec: Its wanted spec.
            opts: Pulumi's options.
            later: Fields of the spec that are outputs of another resource.
        """
        own = dict.fromkeys((INCARNATION, *self.outputs))
        properties = {**_inputs(spec), **own, **later}
        hidden = pulumi.ResourceOptions(additional_secret_outputs=sorted(spec.SECRETS))
        merged = pulumi.ResourceOptions.merge(opts, hidden) if spec.SECRETS else opts
        super().__init__(self.provider(), name, properties, merged)


def _print_left(spec: codec.Spec, things: list[str]) -> None:
    report(spec, [f"removed {thing}, which an unfinished run left" for thing in things])


def report(spec: codec.Spec, lines: list[str]) -> None:
    """Report lines about a thing in the engine's output."""
    for line in lines:
        run.report(f"{spec.id} {line}")


def _inputs(spec: codec.Spec) -> Outputs:
    """Return a spec as inputs, without the incarnation, which a create draws."""
    return {key: value for key, value in codec.encode(spec).items() if key != INCARNATION}


def _new_incarnation() -> str:
    return secrets.token_hex(6)


def _state(spec: codec.Spec, host: Host, outputs: Outputs) -> Outputs:
    return {**codec.encode(spec), **outputs, MACHINE: host.machine_id, DRIFT: ""}
