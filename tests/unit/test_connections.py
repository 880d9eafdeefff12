"""Connections to hosts: shared by threads, opened ahead, and closed at the end."""

from __future__ import annotations

import threading
from concurrent import futures

import pytest
from pulumi import dynamic

from core import errors
from hosts import connections, url
from hosts.host import Host
from providers import base
from providers.haproxy.resource import BackendProvider


def test_failed_connection_fails_waiters_and_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[futures.Future[Host]] = []

    def refuse(where: url.HostUrl) -> Host:
        waiting.append(connections._hosts[str(where)])
        raise errors.HostError("it does not answer")

    monkeypatch.setattr(connections, "_open", refuse)
    for turn in range(2):
        with pytest.raises(errors.HostError):
            connections.connect("netns:nobody")
        assert "it does not answer" == str(waiting[turn].exception(timeout=0))
    assert waiting[0] is not waiting[1]


def test_close_all_goes_on_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broken pipe would end the process in a traceback."""
    closed: list[str] = []

    class Broken:
        def close(self) -> None:
            closed.append("broken")
            raise BrokenPipeError

    class Whole:
        def close(self) -> None:
            closed.append("whole")

    monkeypatch.setattr(connections, "_hosts", {})
    for name, host in (("a", Broken()), ("b", Whole())):
        connections._hosts[name] = futures.Future()
        connections._hosts[name].set_result(host)  # type: ignore[arg-type]
    connections.close_all()
    assert (["broken", "whole"], {}) == (closed, connections._hosts)


@pytest.mark.parametrize(
    ("config", "begun"),
    [
        ({"grappe:host": "ssh://h", "grappe:workstation": "local:"}, ["ssh://h", "local:"]),
        ({"grappe:kind": "image", "grappe:host": "ssh://h", "grappe:workstation": "local:"},
         ["ssh://h"]),
        ({"grappe:host": "ssh://h", "grappe:workstation": "none"}, ["ssh://h"]),
        ({}, []),
    ],
)  # fmt: skip
def test_plugin_connects_ahead_to_the_hosts_of_its_stack(
    config: dict[str, str], begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(connections, "prepare", seen.append)
    monkeypatch.setattr(base, "_prepared", threading.Lock())
    monkeypatch.setattr(base.lifetime, "end_with_engine", lambda: None)
    request = dynamic.ConfigureRequest(config=dynamic.Config(config, "grappe"))
    for provider in (BackendProvider(), BackendProvider()):
        provider.configure(request)
    assert begun == seen
