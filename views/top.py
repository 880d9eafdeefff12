"""Show the host and its containers side by side: the answer to the sheet's question on htop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from views import table

HEADS = ("machine", "processes", "cpu", "memory", "contains")
ANSWER = """\
The host's htop shows them all: containers share its kernel, and their processes are processes of
the host. Inside a container htop shows that container's alone."""


def container_name(payload: str) -> str:
    """Return a container's name for people: `grappe-alice_yuno1` becomes `grappe-alice/yuno1`."""
    project, underscore, name = payload.rpartition("_")
    return f"{project}/{name}" if underscore else payload


def render(facts: Mapping[str, Any]) -> str:
    """Return the counts of `remote.processes` as a table, with a remark."""
    containers = sorted(facts["containers"], key=lambda item: str(item["name"]))
    together = {
        key: facts["own"][key] + sum(item[key] for item in containers)
        for key in ("processes", "cpu", "memory")
    }
    rows = [
        _row("host", together, f"{facts['processors']} processors, all that its kernel runs"),
        _row("  of its own", facts["own"], "sshd, LXD, HAProxy, the kernel's threads"),
        *(_row(f"  {container_name(item['name'])}", item, "all that htop shows inside it")
          for item in containers),
    ]  # fmt: skip
    lines = table.render(HEADS, rows)
    lines.append(f"{_size(facts['available'])} of {_size(facts['total'])} memory are free.")
    if containers:
        lines += ["", ANSWER]
    if example := facts.get("example"):
        inside = f"{example['inside']} in {container_name(example['container'])}"
        lines.append(f"One of them: {example['name']} is process {example['outside']} on the host, "
                     f"and {inside}.")  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(name: str, item: Mapping[str, Any], words: str) -> tuple[str, ...]:
    return (name, str(item["processes"]), f"{item['cpu']:.0f} %", _size(item["memory"]), words)


def _size(value: float) -> str:
    if value >= 2**30:
        return f"{value / 2**30:.1f} GiB"
    return f"{value / 2**20:.0f} MiB"
