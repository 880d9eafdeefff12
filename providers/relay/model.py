"""The spec of a relay grant: the right for one tunnel to listen on ports of the relay."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from core import codec, problems, validators
from providers.fragments.fragment import Fragment, render

_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256) [A-Za-z0-9+/]+=*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelayGrantSpec(codec.Spec):
    """The rights of one tunnel on the relay; `host` is the relay.

    Attributes:
        public_key: The tunnel's public key, type and key.
        listens: The ports it may listen on.
    """

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name"})

    public_key: str
    listens: tuple[int, ...]

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_name(self.name)
        if not _KEY.fullmatch(self.public_key):
            yield "public_key", self.public_key, "is not a public key: type and key."
        yield "listens", "", "" if self.listens else "is empty. At least one port."
        for index, port in enumerate(self.listens):
            yield f"listens[{index}]", port, validators.problem_of_port(port)


def key(port: int) -> str:
    """Return the fragment's key for a port of the relay."""
    return f"port {port} of the relay"


def fragment(spec: RelayGrantSpec) -> Fragment:
    """Return a grant's fragment: a line of authorized_keys that allows only its ports."""
    allowed = ",".join(f'permitlisten="*:{port}"' for port in spec.listens)
    line = f"restrict,port-forwarding,{allowed} {spec.public_key} {spec.id}"
    return render(spec, map(key, spec.listens), {"line": line})
