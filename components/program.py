"""The program that the engine runs: it turns a stack file into resources and outputs."""

from __future__ import annotations

import asyncio
import pathlib

import grpc
import pulumi
from pulumi.runtime import config, settings

from components import stack as stacks
from core import codec, errors, problems
from hosts import connections
from stacks import files, kinds, neighbours

_sdks_own = settings.grpc_error_to_exception
# Relative to the project's folder, in which the engine starts this program.
FOLDER = pathlib.Path("stacks")


def run() -> None:
    """Load the stack's spec, register its resources, and export its outputs.

    Raises:
        pulumi.RunError: All mistakes in the stack file; or an unexpected error.
    """
    settings.grpc_error_to_exception = refusal
    try:
        _run()
    except (pulumi.RunError, asyncio.CancelledError):
        raise
    except errors.GrappeError as error:
        raise pulumi.RunError(str(error)) from None
    except Exception as error:
        raise pulumi.RunError(str(errors.unexpected(error))) from error


def refusal(exn: grpc.RpcError) -> Exception:
    """Return the engine's refusal of a registration as text for a user.

    The SDK itself does so only for an engine that has shut down its monitor. For a registration
    that the engine cancelled under way, it would show a traceback.
    """
    plain = _sdks_own(exn)
    if isinstance(plain, pulumi.RunError):
        return plain
    return pulumi.RunError(
        f"the engine ended this registration: {str(plain) or 'it was cancelled'}"
    )


def _run() -> None:
    project, stack = pulumi.get_project(), pulumi.get_stack()
    own = files.read(FOLDER, stack) if files.path_of(FOLDER, stack).exists() else {}
    mistakes = files.misread(FOLDER, stack)
    mistakes += neighbours.conflicts(stack, own, files.others(FOLDER, stack))
    given = config.CONFIG.get()
    secrets = [key for key in given if config.is_config_secret(key)]
    spec = None
    try:
        spec = kinds.parse(given, project=project, stack=stack, secrets=secrets)
    except problems.Mistakes as found:
        mistakes += codec.beside(mistakes, found.mistakes)
    if mistakes or spec is None:
        raise pulumi.RunError(f"stacks/Pulumi.{stack}.yaml: {problems.summary(mistakes)}")
    connections.connect_ahead(spec.host)
    for name, value in stacks.build(spec).items():
        pulumi.export(name, value)
