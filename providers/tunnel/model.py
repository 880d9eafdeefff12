"""The spec of a tunnel, and the unit that keeps it up."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from core import codec, problems, templates, validators
from remote.names import TUNNEL_HOME, TUNNEL_USER

# The kind of check by target port.
ANSWERS = {22: "ssh", 80: "http", 443: "https"}
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward:
    """A port of the relay, and its target.

    Attributes:
        listen: The port of the relay.
        address: The target's address, as the lab host reaches it.
        port: The target's port.
        domain: The domain that a check requests, for targets that answer by domain.
    """

    listen: int
    address: str
    port: int
    domain: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunnelSpec(codec.Spec):
    """A reverse SSH tunnel from the lab host; `name` is the student.

    Attributes:
        relay_address: The address of the relay's sshd.
        relay_port: The port of the relay's sshd.
        relay_key: The relay's host key, type and key: no other is trusted.
        forwards: The relay's ports and their targets.
        public_key: The key that the relay accepts; another one means a new login.
        seconds: Seconds until it must be up.
    """

    relay_address: str
    relay_key: str
    forwards: tuple[Forward, ...]
    relay_port: int = 22
    public_key: str = ""
    seconds: int = 40

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
        yield "relay_address", self.relay_address, validators.problem_of_ipv4(self.relay_address)
        yield "relay_port", self.relay_port, validators.problem_of_port(self.relay_port)
        if not _HOST_KEY.fullmatch(self.relay_key):
            yield "relay_key", self.relay_key, "is not a host key: type and key."
        for index, forward in enumerate(self.forwards):
            prefix = f"forwards[{index}]"
            yield f"{prefix}.listen", forward.listen, validators.problem_of_port(forward.listen)
            yield f"{prefix}.address", forward.address, validators.problem_of_ipv4(forward.address)
            yield f"{prefix}.port", forward.port, validators.problem_of_port(forward.port)


def request(spec: TunnelSpec) -> dict[str, Any]:
    """Return the request for `remote.tunnels`."""
    name = f"[{spec.relay_address}]:{spec.relay_port}"
    known = spec.relay_address if spec.relay_port == 22 else name  # noqa: PLR2004 - ssh's own
    unit = templates.render(
        __file__, "unit.j2", tunnel=spec, user=TUNNEL_USER, home=f"{TUNNEL_HOME}/{spec.name}"
    )
    checks = [
        {"kind": ANSWERS.get(item.port, "tcp"), "port": item.listen, "domain": item.domain}
        for item in spec.forwards
    ]
    return {
        "name": spec.name,
        "whose": codec.marks(spec),
        "unit": unit,
        "known_hosts": f"{known} {spec.relay_key}\n",
        "checks": {"address": spec.relay_address, "checks": checks},
    }
