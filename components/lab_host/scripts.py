"""The scripts that turn a bare server into a lab host, in order; pure."""

from __future__ import annotations

import dataclasses
import shlex

from core import kernel_limits, templates
from stacks.lab_host import LabHostSpec

# In the sheet's order; *disk* only with a second disk.
STEPS = ("packages", "disk", "daemon", "firewall", "forwarding", "limits", "proxy")
SSH_PORT = 22


@dataclasses.dataclass(frozen=True)
class Script:
    """One step.

    Attributes:
        name: Its name.
        do: The script that does it; run again, it changes nothing.
        undo: The script that undoes as much as is safe, and prints what it leaves.
    """

    name: str
    do: str
    undo: str


def for_host(spec: LabHostSpec, port: int = SSH_PORT) -> list[Script]:
    """Return the steps; `port` is the server's sshd's, which stays open."""
    steps = [step for step in STEPS if step != "disk" or spec.second_disk]
    return [
        Script(step, *(_render(step, spec, port, undo=undo) for undo in (False, True)))
        for step in steps
    ]


def as_root(script: str, user: str) -> str:
    """Return a script for a login; one that is not root uses `sudo -n`."""
    if user in {"", "root"}:
        return script
    return f"exec sudo -n -- sh -c {shlex.quote(script)}"


def _render(step: str, spec: LabHostSpec, port: int, *, undo: bool) -> str:
    return templates.render(
        __file__, f"{step}.sh.j2", spec=spec, port=port, undo=undo, limits=kernel_limits.LIMITS
    )
