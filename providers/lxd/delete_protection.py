"""LXD's own protection of an instance, which keeps it from being deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.lxd import daemon
from providers.lxd.options.values import TRUE

KEY = "security.protection.delete"


def lift(lxd: daemon.Daemon, instance: Mapping[str, Any], path: str, project: str) -> None:
    """Lift the protection of an instance before its removal.

    A stack file cannot set it, but a profile of the host may bring it at any time.

    Args:
        lxd: The daemon.
        instance: The instance, as LXD returns it.
        path: Its path below `/1.0/`.
        project: Its LXD project.
    """
    if str(instance.get("expanded_config", {}).get(KEY, "")).lower() in TRUE:
        lxd.change("PATCH", path, {"config": {KEY: "false"}}, project=project)
