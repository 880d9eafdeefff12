"""Send changes of shared files to a host, where one process makes each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from core import codec, errors
from hosts.host import Host
from providers.fragments.fragment import Fragment


class Send(Protocol):
    """Sends a request to the host's side of the store."""

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request of `transaction.main`; return its answer."""


class Client:
    """The fragment store of one target on a host.

    Args:
        url: The host, as messages name it.
        folder: The folder of the target's store, on the host.
        target: The target, one of `remote.transaction.TARGETS`.
        shared_sections: The shared sections around the fragments.
        send: Sends a request there.

    """

    def __init__(
        self, url: str, folder: str, target: str, shared_sections: Mapping[str, Any], send: Send
    ) -> None:
        self._url = url
        self._common = {
            "target": target,
            "shared_sections": dict(shared_sections),
            "folder": folder,
        }
        self._send = send

    def put(self, fragment: Fragment) -> list[str]:
        """Put a fragment, with all queued changes; return messages for the user."""
        return list(self._request({"op": "put", "fragment": fragment.as_json()})["notes"])

    def remove(self, spec: codec.Spec) -> list[str]:
        """Remove the fragment of a spec; deleting one that is already gone succeeds."""
        return list(self._request({"op": "remove", **_whose(spec)})["notes"])

    def read(self, spec: codec.Spec) -> tuple[dict[str, Any], str] | None:
        """Return a spec's fragment on the host, and its drift; None when it is gone."""
        answer = self._request({"op": "read", **_whose(spec)})
        if answer["fragment"] is None:
            return None
        return answer["fragment"], answer["drift"]

    def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._send({**self._common, **request})
        if answer.get("ok", True):
            return answer
        raise errors.DaemonError(
            f"{self._url}: {answer['brief']}", seen=answer["seen"], do=answer["do"]
        )


def _whose(spec: codec.Spec) -> dict[str, str]:
    return {"id": spec.id, "owner": spec.owner, "lab": spec.lab}


def over(host: Host, target: str, shared_sections: Mapping[str, Any]) -> Client:
    """Return the client of a target on a host.

    Args:
        host: The host.
        target: The target, which is its folder in the store too.
        shared_sections: The shared sections around the fragments.

    """

    def send(request: Mapping[str, Any]) -> dict[str, Any]:
        return dict(host.call("remote.transaction", request))

    return Client(host.url, f"{host.store}/{target}", target, shared_sections, send)
