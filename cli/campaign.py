"""`./lab campaign`: trials that are too long for the suite, in a sandbox of their own."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile

from campaign import kills
from cli import environment, progress
from cli import sandbox as commands
from providers.hosts import gateway
from sandbox import box as boxes
from sandbox import layout, trial
from sandbox.inventory import inventory

SANDBOX = "grappe-campaign"
# A lab with one of each kind of resource, and an image from its recipe.
STUDENT = {
    "servers": [
        {"name": "yuno1", "recipe": "standin", "publish": "by-hand",
         "volumes": [{"name": "data", "path": "/srv/data", "size": "64MiB"}],
         "snapshots": ["fresh"]},
        {"name": "yuno2", "image": "by-hand"},
    ],
}  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Kill runs of each kind of stack; exit 0 when `down` left nothing of any, 1 when it did."""
    box = layout.Layout(SANDBOX)
    os.environ["GRAPPE_SANDBOX"] = SANDBOX
    commands.have_packages()
    boxes.down(box)
    commands.bring_up(box)
    environment.apply()
    found: list[kills.Kill] = []
    try:
        with tempfile.TemporaryDirectory(prefix="grappe-campaign-") as folder:
            env = environment.prepare(lambda _text: None)
            made = trial.Trial(pathlib.Path(folder), box, env)
            made.write("kim", 1, id="kimkimkimkim", tunnel={"relay": box.relay_url}, **STUDENT)
            secret = ("grappe:password", "Only-for-this-1", "-s", "kim")
            made.pulumi("config", "set", "--secret", *secret)
            made.image("image", id="imageimage01", recipe="standin", alias="golden")
            host, workstation = map(gateway.connect, (box.host_url, box.workstation_url))
            for stack in ("kim", "image"):
                with progress.step(f"kills of {stack}") as step:
                    found += kills.run(
                        made, stack, options.moments, lambda: inventory(host, workstation), step.say
                    )
                    bad = [kill for kill in found if kill.stack == stack and kill.left]
                    step.detail = f"{options.moments} moments, {len(bad)} left something"
    finally:
        gateway.close_all()
        boxes.down(box)
    if options.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(kill) for kill in found]) + "\n")
    else:
        sys.stdout.write(render(found))
    return 1 if any(kill.left for kill in found) else 0


def render(found: list[kills.Kill]) -> str:
    """Return the table as docs/reliability.md has it."""
    rows = [
        f"| {kill.stack} | {kill.seconds:.2f} s | {kill.made} | {kill.left or 'nothing'} |"
        for kill in found
    ]
    head = (
        "| stack | killed after | resources in its state | left after `down` |\n|---|---|---|---|"
    )
    return "\n".join([head, *rows, ""])
