"""The program's end when the engine refuses or cancels a registration."""

from __future__ import annotations

import grpc
import pulumi
import pytest
from pulumi.runtime import settings

from components import program


class Refused(grpc.RpcError):  # type: ignore[misc]
    """What the engine answers, as gRPC has it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        """Return its kind."""
        return self._code

    def details(self) -> str:
        """Return its text."""
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "words"),
    [(grpc.StatusCode.UNAVAILABLE, "x", "Resource monitor has terminated"),
     (grpc.StatusCode.CANCELLED, "", "the engine ended this registration: it was cancelled"),
     (grpc.StatusCode.UNKNOWN, "update failed", "the engine ended this registration: update fail")],
)  # fmt: skip
def test_refusal_of_the_engine_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, details: str, words: str
) -> None:
    """Of any other exception the SDK shows a traceback."""
    # The program replaces it for as long as its process lives.
    monkeypatch.setattr(settings, "grpc_error_to_exception", settings.grpc_error_to_exception)
    monkeypatch.setattr(program, "_run", lambda: None)
    program.run()
    with pytest.raises(pulumi.RunError, match=words):
        settings.handle_grpc_error(Refused(code, details))
