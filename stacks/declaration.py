"""Pulumi.yaml's declaration of the settings; `python -m stacks.declaration` writes it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import yaml

from stacks import settings

PATH = pathlib.Path(__file__).parent.parent / "Pulumi.yaml"
_PASSWORD = {
    "type": "string", "default": "",
    "description": "The administrator's password, a secret: with it, YunoHost is post-installed on "
    "every server",
}  # fmt: skip
_TYPES = {"str": "string", "int": "integer", "bool": "boolean"}


def render(text: str) -> str:
    """Return Pulumi.yaml with our settings as its last part."""
    head, _, _ = text.partition("\nconfig:\n")
    config = {f"{settings.NAMESPACE}:{key}": entry for key, entry in _entries().items()}
    body = yaml.safe_dump(
        {"config": config}, sort_keys=False, default_flow_style=None, width=1000, allow_unicode=True
    )
    return f"{head}\n{body}"


def _entries() -> dict[str, Any]:
    """Return the declaration of each setting: type, default and description."""
    declared: dict[str, Any] = {}
    for kind in settings.KINDS.values():
        for field in dataclasses.fields(kind):
            if "text" in field.metadata:
                declared[field.name] = {
                    **_type(str(field.type)),
                    "default": settings.written(getattr(kind(), field.name)),
                    "description": field.metadata["text"],
                }
        declared.setdefault(settings.PASSWORD, _PASSWORD)
    return declared


def _type(hint: str) -> dict[str, Any]:
    if hint.startswith("tuple"):
        items = "string" if hint == "tuple[str, ...]" else "object"
        return {"type": "array", "items": {"type": items}}
    return {"type": _TYPES.get(hint, "object")}


if __name__ == "__main__":
    PATH.write_text(render(PATH.read_text()))
