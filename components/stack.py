"""What a whole stack is made of, and its outputs."""

from __future__ import annotations

from typing import Any

from components.golden_image import GoldenImage
from components.student_lab import StudentLab
from stacks.golden import GoldenSpec
from stacks.spec import LabSpec


def build(spec: LabSpec | GoldenSpec) -> dict[str, Any]:
    """Register everything of a stack; return its outputs by name."""
    if isinstance(spec, GoldenSpec):
        return {"image": GoldenImage(spec).image}
    return {"servers": StudentLab(spec).servers}
