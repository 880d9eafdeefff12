"""Build a whole stack: its resources and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from components.student_lab import StudentLab
from core import errors
from hosts import connections, ssh_settings, url
from stacks import plan
from stacks.kinds import AnySpec

if TYPE_CHECKING:
    from stacks.lab_host import LabHostSpec


def build(spec: AnySpec) -> dict[str, Any]:
    """Register everything of a stack; return its outputs by name.

    A run imports only the modules of its own kind of stack.
    """
    if spec.KIND == "image":
        from components.golden_image import GoldenImage  # noqa: PLC0415
        from stacks import golden_plan  # noqa: PLC0415

        return {"image": GoldenImage(golden_plan.plan(spec)).image}
    if spec.KIND == "host":
        from components.lab_host.component import LabHost  # noqa: PLC0415

        return {"host": LabHost(spec, _connection(spec)).host}
    if spec.tunnel:
        connections.connect_ahead(spec.tunnel.relay)
    return {"servers": StudentLab(plan.plan(spec)).servers}


def _connection(spec: LabHostSpec) -> ssh_settings.Connection | None:
    host_url = url.parse(spec.host)
    try:
        return None if host_url.scheme == "local" else ssh_settings.resolve(host_url)
    except errors.HostError as error:
        raise pulumi.RunError(str(error)) from None
