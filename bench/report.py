"""Show the results as tables for people, with the goals."""

from __future__ import annotations

import os
import pathlib
from typing import Any

# Goals: at most this part of another way's time.
GOALS = {
    ("up", "ansible"): 0.46, ("up", "expert"): 2.0, ("nothing", "ansible"): 0.45,
    ("down", "ansible"): 0.5,
}  # fmt: skip

# Further aims for `./lab up` and `down`, as parts of Ansible's time.
AIMS = {"up": 0.42, "nothing": 0.30, "down": 0.40}
PHASES = {"up": "up", "nothing": "nothing to do", "down": "down"}

# Goal: at most this many times the bare launches, for the most students at once.
MANY_LABS = 1.3
# Goal: one more fragment among many costs at most so many times one more among few.
MORE, MANY, FEW = {"rule": 2, "backend": 1.5}, 4000, 100


def machine() -> str:
    """Describe the machine, without its name."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    models = [line.split(": ", 1)[1] for line in cpu.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{len(models)} x {models[0]}, {memory} GiB, Linux {os.uname().release}"


CLASS = {
    "bare": "bare launches", "up": "up, new", "plain_up": "plain runs, the same",
    "nothing": "up, nothing to do", "plain_nothing": "plain runs, the same",
    "down": "down", "plain_down": "plain runs, the same", "check": "check",
    "snapshot": "snapshot", "reset": "reset", "sleep": "sleep", "wake": "wake",
}  # fmt: skip


def tables(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    parts = [f"Measured on {results['date']} on {results['machine']}; {results['host']}."]
    if medians := results.get("contest"):
        parts += [_one_lab(medians), _failures(results["beside"]), _processor(results)]
    if rows := results.get("crowd"):
        parts.append(_many_labs(rows))
    if rows := results.get("fragments"):
        parts.append(_fragments(rows))
    if rows := results.get("class"):
        parts.append(_class(rows))
    if connection := results.get("connection"):
        parts.append(
            f"Two kept connections lived {connection['minutes']} minutes while "
            f"{connection['labs']} labs came and went: {connection['failed']} of "
            f"{connection['requests']} requests failed, "
            f"{connection['connections'] - 2} connections more were opened."
        )
    return "\n\n".join(parts) + "\n"


def _class(rows: list[dict[str, float]]) -> str:
    heads = ("a class of", *CLASS.values(), "memory")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    sentences = []
    for row in rows:
        seconds = " | ".join(f"{row[phase]} s" for phase in CLASS)
        head = f"{row['students']}, {row['jobs']} at once"
        lines.append(f"| {head} | {seconds} | {row['memory']} MB |")
        for words, ratio, goal in (
            ("up, of the bare launches", row["up"] / row["bare"], 0.85),
            ("up, of plain runs", row["up"] / row["plain_up"], 0.85),
            ("nothing to do, of plain runs", row["nothing"] / row["plain_nothing"], 0.45),
            ("down, of plain runs", row["down"] / row["plain_down"], 0.45),
        ):
            met = f"{ratio:.2f}, goal {goal}: {_met(ratio, goal)}"
            sentences.append(f"{row['students']} students, {words}: {met}.")
    return "\n".join([*lines, "", *sentences])


def _one_lab(medians: dict[str, dict[str, float]]) -> str:
    lines = [
        "| | expert's script | Ansible | Grappe | of the expert's | of Ansible's | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for phase, title in PHASES.items():
        ours = medians["grappe"][phase]
        ratios = {way: ours / medians[way][phase] for way in ("expert", "ansible")}
        goals = [
            f"{_met(ratios[way], goal)}: {goal} of {way}"
            for (goal_phase, way), goal in GOALS.items()
            if goal_phase == phase
        ]
        lines.append(
            f"| {title} | {medians['expert'][phase]} s | {medians['ansible'][phase]} s | {ours} s "
            f"| {ratios['expert']:.2f} | {ratios['ansible']:.2f} | {'; '.join(goals)} |"
        )
    if by_lab := medians.get("lab"):
        sentences = []
        for phase, title in PHASES.items():
            ratio = by_lab[phase] / medians["ansible"][phase]
            sentences.append(f"{title} {by_lab[phase]} s, {ratio:.2f} ({_met(ratio, AIMS[phase])})")
        lines += ["", f"By `./lab up` and `./lab down`, of Ansible's: {'; '.join(sentences)}."]
    return "\n".join(lines)


def _processor(results: dict[str, Any]) -> str:
    lines = ["| processor time, host and workstation | expert's script | Ansible | Grappe |",
             "|---|---|---|---|"]  # fmt: skip
    for phase, title in PHASES.items():
        took = [results["processor"][way][phase] for way in ("expert", "ansible", "grappe")]
        lines.append(f"| {title} | {' | '.join(f'{seconds} s' for seconds in took)} |")
    least, most = min(results["loop"]), max(results["loop"])
    return "\n".join([*lines, "", f"One and the same loop took {least} to {most} s meanwhile."])


def _many_labs(rows: list[dict[str, float]]) -> str:
    lines = [
        "| students at once | bare launches | Grappe up | ratio | Grappe down |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['students']} | {row['bare']} s | {row['grappe']} s | "
        f"{row['grappe'] / row['bare']:.2f} | {row['down']} s |"
        for row in rows
    ]
    last = rows[-1]
    part = last["grappe"] / last["bare"]
    text = f"{last['students']} students at most {MANY_LABS} of the bare launches: "
    lines += ["", f"{text}{_met(part, MANY_LABS)} ({part:.2f}). {_failures(*rows)}"]
    return "\n".join(lines)


def _failures(*rows: dict[str, float]) -> str:
    failures = sum(row["failures"] for row in rows)
    requests = sum(row["requests"] for row in rows)
    return (
        "No failed request of another student's visitor while Grappe works: "
        f"{_met(failures, 0)} ({failures} of {requests} failed)."
    )


def _met(value: float, goal: float) -> str:
    return "met" if value <= goal else "missed"


def _fragments(rows: list[dict[str, float]]) -> str:
    lines = [
        "| on the host already | one more rule | one more backend | reloads | a routed request |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['fragments']} | {row['rule']} s | {row['backend']} s | {row['reloads']} "
        f"| {row['request']} ms |"
        for row in rows
    ]
    known = {row["fragments"]: row for row in rows}
    if {MANY, FEW} <= known.keys():
        ratios = {kind: known[MANY][kind] / known[FEW][kind] for kind in MORE}
        sentences = ", ".join(
            f"{kind} at most {MORE[kind]}, {_met(n, MORE[kind])} ({n:.2f})"
            for kind, n in ratios.items()
        )
        lines += ["", f"One more among {MANY}, of one among {FEW}: {sentences}.", _failures(*rows)]
    return "\n".join(lines)
