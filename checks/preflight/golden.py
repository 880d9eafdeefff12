"""The preflight of a golden image: its spec, and its judgement of the host; pure."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Mapping
from typing import ClassVar

from core import codec, problems
from core.names import RECIPE_PROPERTY
from remote import identity
from remote.surveys.facts import LabFacts, Lxd


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldenPreflightSpec(codec.Spec):
    """A planned golden image.

    Attributes:
        alias: The image's alias.
        recipe: The recipe's hash.
        project: The LXD project of the builder.
        bridge: The builder's bridge.
        subnet: The bridge's network.
        adopt: Whether it may take over an image without an owner.
        needs: URLs that steps require: `[[step, url], ...]`.
    """

    MARKED: ClassVar[bool] = False

    alias: str
    recipe: str
    project: str
    bridge: str
    subnet: str
    adopt: bool = False
    needs: tuple[tuple[str, ...], ...] = ()


def judge(spec: GoldenPreflightSpec, facts: LabFacts) -> list[problems.Mistake]:
    """Return everything on the host that prevents the image.

    Args:
        spec: The image.
        facts: The result of `remote.surveys.lab`.
    """
    key, lxd = "grappe:host", facts["lxd"]
    mistakes = [
        problems.Mistake(key, f"{spec.host} has no {program}.")
        for program in facts["missing"]
        if program.startswith(("iptables", "ufw"))
    ]
    if "error" in lxd:
        return [*mistakes, problems.Mistake(key, f"{spec.host}: {lxd['error']}.")]
    mistakes += [*_taken(spec, facts), *_alias(spec, lxd), *_needs(spec, facts)]
    return problems.in_program(mistakes, lxd.get("program", "lxc"))


def built(spec: GoldenPreflightSpec, lxd: Lxd) -> bool:
    """Whether the host has the image of this exact recipe, so that no step will run."""
    image = _image(spec, lxd)
    return image.get(RECIPE_PROPERTY) == spec.recipe


def _taken(spec: GoldenPreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    lxd = facts["lxd"]
    for things, name in ((lxd["networks"], spec.bridge), (lxd["projects"], spec.project)):
        for thing in things:
            held = identity.held_in_config(thing["config"])
            if thing["name"] == name and not identity.belongs(held, spec.owner, spec.lab):
                whose = f"there: {identity.whose(held, spec.owner)}"
                yield problems.Mistake(
                    "grappe:number", f"{name} is {whose}. Choose another number."
                )
    wanted = ipaddress.IPv4Network(spec.subnet)
    for entry in facts["subnets"]:
        network = ipaddress.IPv4Interface(entry["subnet"]).network
        if entry["interface"] != spec.bridge and network.overlaps(wanted):
            reason = f"means {spec.subnet}, which the host has on {entry['interface']}."
            yield problems.Mistake("grappe:number", reason)


def _alias(spec: GoldenPreflightSpec, lxd: Lxd) -> Iterator[problems.Mistake]:
    if spec.alias not in lxd["aliases"]:
        return
    properties = _image(spec, lxd)
    held = {field: properties.get(f"grappe.{field}", "") for field in ("owner", "lab")}
    if identity.belongs(held, spec.owner, spec.lab) or (not held["owner"] and spec.adopt):
        return
    whose = "an image that Grappe did not make (grappe:adopt: true?)"
    if held["owner"]:
        whose = f"there: {identity.whose(held, spec.owner)}"
    yield problems.Mistake("grappe:alias", f'"{spec.alias}" is {whose}.')


def _needs(spec: GoldenPreflightSpec, facts: LabFacts) -> Iterator[problems.Mistake]:
    if built(spec, facts["lxd"]):
        return
    for step, url in spec.needs:
        if problem := facts["reached"].get(url, ""):
            yield problems.Mistake(
                "grappe:recipe",
                f"its step {step} needs {url}, which {spec.host} does not reach: {problem}.",
            )


def _image(spec: GoldenPreflightSpec, lxd: Lxd) -> Mapping[str, str]:
    fingerprint = lxd["aliases"].get(spec.alias, "")
    return dict(lxd["images"].get(fingerprint, {}))
