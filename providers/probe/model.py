"""The spec of a probe."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from core import codec, problems, validators

KINDS = ("tcp", "ssh", "http", "https")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One check from the workstation.

    Attributes:
        kind: `tcp` (connects), `ssh` (an SSH banner), `http` (an answer by Host),
            `https` (a TLS handshake by SNI, and an answer over it).
        port: The port to dial.
        domain: The Host header and the SNI, for http and https.
        led: Whether the request must come through Grappe's part of HAProxy; for http.
    """

    kind: str
    port: int
    domain: str = ""
    led: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSpec(codec.Spec):
    """Checks of one server from the workstation; `host` is the workstation.

    Attributes:
        address: The address to dial.
        checks: The checks.
        seconds: Seconds until the server must answer all of them.
    """

    MARKED: ClassVar[bool] = False

    address: str
    checks: tuple[Check, ...]
    seconds: int = 30

    def _checks(self) -> problems.Checks:
        yield "address", self.address, validators.problem_of_ipv4(self.address)
        for index, check in enumerate(self.checks):
            prefix = f"checks[{index}]"
            yield f"{prefix}.port", check.port, validators.problem_of_port(check.port)
            if check.kind not in KINDS:
                yield f"{prefix}.kind", check.kind, f"is not a kind: {', '.join(KINDS)}."
            if check.kind in {"http", "https"}:
                yield f"{prefix}.domain", check.domain, validators.problem_of_domain(check.domain)
