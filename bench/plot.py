"""Draw the results as one picture; runs in the bench's own Python environment."""

import json
import pathlib
import sys

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

COLOURS = {"expert": "#7a8ba3", "ansible": "#c77d4f", "grappe": "#5b3f8c", "lab": "#9b7fc4"}


def main(source: str, target: str) -> None:
    results = json.loads(pathlib.Path(source).read_text())
    parts = [part for part in ("contest", "crowd", "fragments") if results.get(part)]
    if not parts:
        return
    figure, axes = plt.subplots(1, len(parts), figsize=(5 * len(parts), 4), squeeze=False)
    for axis, part in zip(axes[0], parts):
        globals()[part](axis, results[part])
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def contest(axis, times):
    phases = ("up", "nothing", "down")
    for index, (way, took) in enumerate(times.items()):
        bars = axis.bar(
            [n + 0.2 * index for n in range(3)],
            [took[p] for p in phases],
            0.18,
            label=way,
            color=COLOURS[way],
        )
        axis.bar_label(bars, fmt="%.1f", fontsize=8)
    axis.set_xticks([n + 0.3 for n in range(3)], ["up", "nothing to do", "down"])
    axis.set_ylabel("seconds")
    axis.set_title("One student's lab")
    axis.legend(frameon=False)


def crowd(axis, rows):
    sizes = [row["students"] for row in rows]
    axis.plot(sizes, [row["bare"] for row in rows], "o-", color="#7a8ba3", label="bare lxc launch")
    axis.plot(sizes, [row["grappe"] for row in rows], "o-", color="#5b3f8c", label="grappe up")
    axis.set_xlabel("students at the same time")
    axis.set_ylabel("seconds")
    axis.set_title("Many students at once")
    axis.legend(frameon=False)


def fragments(axis, rows):
    sizes = [row["fragments"] for row in rows]
    for kind, colour in (("rule", "#c77d4f"), ("backend", "#5b3f8c")):
        label = f"one more {kind}"
        axis.plot(sizes, [row[kind] for row in rows], "o-", color=colour, label=label)
    axis.set_xscale("log")
    axis.set_xlabel("fragments on the host already")
    axis.set_ylabel("seconds")
    axis.set_title("One more")
    axis.legend(frameon=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
