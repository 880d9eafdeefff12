"""Having the survey run on a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from providers.hosts import gateway
from providers.lxd import daemon


def at(host: gateway.Host, urls: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `survey.main` found on a host; `urls` are what the host is to reach."""
    request = {"sockets": daemon.SOCKETS, "store": host.store, "urls": list(urls)}
    needs = ["providers.fragments.document", "providers.hosts.plain_http"]
    return dict(host.call("providers.preflight.survey", request, needs=needs))
