"""The demo: a sandbox, a student's lab in it, and a test of all of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import Any

from cli import demo_host, down, environment, labs, new, options, progress, stack, up
from cli import sandbox as commands
from core import errors
from hosts import command
from sandbox import lifecycle, systems, workstation
from sandbox.layout import RELAY_ADDRESS, Layout
from views import card

NAME, NUMBER = "demo", 1
# The golden image of its servers, and that image's recipe.
IMAGE, RECIPE = "demo-image", "standin"
HINTS = """\
In the sandbox:     ./lab sandbox ssh workstation -- ssh -p 22222 demo@192.168.8.10
Inspect it:         ./lab check demo    ./lab graph demo    ./lab explain demo    ./lab top demo
See the plan:       eval "$(./lab env)"; pulumi preview -s demo
Break it, mend it:  docs/first-hour.md
Take it down:       ./lab demo --down
"""


# Requests a page and prints the server that answered: its header X-Served-By, also of redirects.
_WHO = ("curl", "-sSk", "--max-time", "10", "-o", "/dev/null", "-w", "%header{x-served-by}")


def run_options(parser: options.Parser) -> None:
    """Add the options of `demo`."""
    text = "take lab and sandbox down again"
    parser.add_argument("--down", dest="take_down", action="store_true", help=text)
    options.yes(parser)
    options.as_json(parser, "print the card as JSON")


def run(*, take_down: bool, yes: bool, as_json: bool) -> int:
    """Bring the demo up, or take it down."""
    layout = commands.chosen()
    if take_down:
        return _down(layout, yes=yes)
    question = (
        "Grappe needs root to make a throwaway lab host on this machine (namespaces, no change to "
        "your network; limits of your kernel are raised until --down). Continue?"
    )
    if not lifecycle.status(layout).up:
        if not progress.ask(question, yes=yes):
            return 1
        if layout.system is not systems.INCUS:
            # Like the lab sheet, begin with a bare server.
            layout = dataclasses.replace(layout, asked=systems.BARE)
    commands.have_packages()
    environment.have_engine()
    environment.apply()
    fresh = commands.bring_up(layout, image=False)
    os.environ["GRAPPE_SSH_CONFIG"] = str(layout.ssh_config)
    # With --json, nothing else goes to standard output.
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        for name in (NAME, IMAGE):
            if fresh and stack.file_of(name).exists():
                # The lab host in the state is gone, with everything on it.
                down.forget(name, yes=True)
        demo_host.bring_up(layout)
        servers = _bring_lab_up(layout)
    with progress.step("from the workstation") as step:
        password, _secret = stack.select(NAME).config()["grappe:password"]
        cards = [_try(layout, server, password, step.report) for server in servers]
        step.detail = f"{len(cards)} servers answer by ssh, http and https"
    with progress.step("from the internet") as step:
        for server in servers:
            _try_relay(layout, server, step.report)
        step.detail = "both domains by the tunnel, http and https"
    shown = card.render(labs.load(NAME).spec, cards, NAME, environment.language())
    progress.answer(card.as_json(cards), f"\n{shown}\n{HINTS}", as_json=as_json)
    return 0


def _bring_lab_up(layout: Layout) -> list[dict[str, Any]]:
    """Bring the image and the student's stack up; return the student's servers."""
    _write_stacks(layout)
    for name in (IMAGE, NAME):
        sys.stderr.write(f"… pulumi up -s {name}\n")
        up.up(name, yes=True)
    return list(stack.select(NAME).outputs()["servers"])


def _down(layout: Layout, *, yes: bool) -> int:
    is_up = lifecycle.status(layout).up
    others = [name for name in commands.labs_in(layout) if name not in (NAME, IMAGE)]
    question = f"The demo's sandbox goes, and with it all of {', '.join(others)}. Go on?"
    if is_up and others and not progress.confirm(question, yes=yes):
        return 1
    for name in (NAME, IMAGE):
        if not stack.file_of(name).exists():
            continue
        try:
            if is_up:
                down.down(name, yes=True)
                continue
        except (errors.CommandError, errors.HostError):
            sys.stderr.write(f"{name} could not be destroyed; Grappe removes its whole lab host\n")
        # The lab host is gone or will go, with everything on it.
        down.forget(name, yes=True)
    demo_host.forget()
    for name in (NAME, IMAGE):
        down.remove_files(name)
    return commands.down()


def _write_stacks(layout: Layout) -> None:
    if not stack.file_of(IMAGE).exists():
        new.new(new.Request(IMAGE, layout.host_url, recipe=RECIPE))
    if not stack.file_of(NAME).exists():
        student = new.Request(
            NAME, layout.host_url, NUMBER, layout.workstation_url, RECIPE,
            relay=layout.relay_url, post_install=True,
        )  # fmt: skip
        new.new(student)


def _try(
    layout: Layout, server: dict[str, Any], password: str, report: progress.Report
) -> dict[str, Any]:
    """Try every way to a server as a student would; the server must answer with its own name."""
    name, ssh = server["name"], server["ssh"]
    report(f"ssh {ssh['port']} → {name}")
    command_there = "hostname -s; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    said = workstation.login(layout, ssh["user"], ssh["port"], password, command_there).splitlines()
    answers = {f"ssh port {ssh['port']}": said[0] if said else ""}
    for url in server["urls"]:
        report(url)
        answers[url] = workstation.run(layout, [*_WHO, url]).partition(".")[0]
    for way, answer in answers.items():
        if answer != name:
            raise errors.NotReadyError(f"{answer!r} answers {way}, not {name}")
    return {**server, "fingerprints": [f"ED25519 {said[1].split()[1]}"]}


def _try_relay(layout: Layout, server: dict[str, Any], report: progress.Report) -> None:
    """Load a server's pages from the internet, through the tunnel."""
    for scheme, port in (("http", 8080), ("https", 8443)):
        url = f"{scheme}://{server['domain']}:{port}/"
        report(url)
        resolve = f"{server['domain']}:{port}:{RELAY_ADDRESS}"
        argv = ["ip", "netns", "exec", layout.relay, *_WHO, "--resolve", resolve, url]
        answer = command.execute(argv).stdout.partition(".")[0]
        if answer != server["name"]:
            raise errors.NotReadyError(f"{answer!r} answers {url} on the relay")
