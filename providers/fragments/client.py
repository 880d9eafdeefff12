"""Send changes of shared files to a host, where one process makes each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core import codec, errors, shared_answers
from hosts.host import Host
from providers.fragments.fragment import Fragment

# Sends a request of `transaction.main` to the host; returns its answer.
Send = Callable[[Mapping[str, Any]], dict[str, Any]]
# A client that reads, and its claim: the fragment's `id`, `owner` and `lab`.
Question = tuple["Client", dict[str, str]]
# The answers by claim, as JSON.
Reads = shared_answers.Shared[Question, dict[str, dict[str, Any]]]


class Client:
    """The fragment store of one target on a host.

    Args:
        url: The host, as messages name it.
        folder: The folder of the target's store, on the host.
        target: The target, one of `remote.transaction.TARGETS`.
        shared_sections: The shared sections around the fragments.
        send: Sends a request there.
        reads: Reads the fragments of all clients of the same host, target and sections.
    """

    def __init__(
        self, url: str, folder: str, target: str, shared_sections: Mapping[str, Any], send: Send,
        *, reads: Reads | None = None,
    ) -> None:  # fmt: skip
        self._url = url
        self._common = {
            "target": target,
            "shared_sections": dict(shared_sections),
            "folder": folder,
        }
        self._send = send
        self._reads = reads or shared_answers.Shared(read_all)

    def put(self, fragment: Fragment) -> list[str]:
        """Put a fragment, with all queued changes; return messages for the user.

        Raises:
            errors.DaemonError: The host refused the change, and restored its files.
        """
        return list(self._request({"op": "put", "fragment": fragment.as_json()})["notes"])

    def remove(self, spec: codec.Spec) -> list[str]:
        """Remove the fragment of a spec; deleting one that is already gone succeeds.

        Raises:
            errors.DaemonError: The host refused the change, and restored its files.
        """
        return list(self._request({"op": "remove", **_claim(spec)})["notes"])

    def read(self, spec: codec.Spec) -> tuple[dict[str, Any], str] | None:
        """Return a spec's fragment on the host, and its drift; None when it is gone.

        Raises:
            errors.DaemonError: The fragment is another lab's, or the store cannot be read.
        """
        claim = _claim(spec)
        answer = self._checked(self._reads.answer((self, claim))[json.dumps(claim)])
        if answer["fragment"] is None:
            return None
        return answer["fragment"], answer["drift"]

    def send_claims(self, claims: list[dict[str, str]]) -> list[dict[str, Any]]:
        """Read the fragments of claims; return an answer each."""
        return list(self._request({"op": "read", "claims": claims})["answers"])

    def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._checked(self._send({**self._common, **request}))

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        if answer.get("ok", True):
            return answer
        raise errors.DaemonError(
            f"{self._url}: {answer['brief']}", seen=answer["seen"], do=answer["do"]
        )


def _claim(spec: codec.Spec) -> dict[str, str]:
    return {"id": spec.id, "owner": spec.owner, "lab": spec.lab}


def read_all(questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Read the fragments of all questions by one request; return the answers by claim (JSON)."""
    claims = {json.dumps(claim): claim for _client, claim in questions}
    answers = questions[0][0].send_claims(list(claims.values()))
    return dict(zip(claims, answers, strict=True))


def open_store(host: Host, target: str, shared_sections: Mapping[str, Any]) -> Client:
    """Return the client of a target on a host.

    Args:
        host: The host.
        target: The target, which is its folder in the store too.
        shared_sections: The shared sections around the fragments.
    """

    def send(request: Mapping[str, Any]) -> dict[str, Any]:
        return dict(host.call("remote.transaction", request))

    key = json.dumps([target, shared_sections], sort_keys=True)
    reads = shared_answers.about(host, key, read_all)
    return Client(host.url, f"{host.store}/{target}", target, shared_sections, send, reads=reads)
