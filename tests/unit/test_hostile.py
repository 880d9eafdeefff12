"""Hostile values in stack files: each is refused at preview, or is harmless."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import os
import unicodedata
from typing import Any

import hypothesis
import pulumi
import pytest
from hypothesis import strategies as st
from pulumi.runtime import mocks

from components import stack as stacks
from core import codec, errors, problems
from providers import base
from stacks import kinds, settings
from tests.unit.test_wiring import Monitor, Recorder

TEXTS = (
    "", " ", "\n", "a\nb", "a\r\nb", "a\tb", "a\x00b", "\x1b[31mred", "\u202egnp", "\ufeffyuno1", "é", "🍇",
    "'", '"', "`id`", "$(reboot)", "$HOME", "; reboot", "| sh", "& true", "-rf", "--help", "a b", "#", "%s",
    "%[src]", "{{ 7 * 7 }}", "{% raw %}", "../..", "/etc/passwd", "/", ".", "..", "*", "*.test", "a..b",
    "xn--", "localhost", "grappe.test", "default", "none", "null", "~", "yes", "off", "true", "007", "0x10",
    "1e3", "-1", "0", "4001", "99999999999999999999", "NaN", "300 Mo", "2G", "100%", "10.64.1.10", "::1",
    "fe80::1%eth0", "0.0.0.0", "local:", "ssh://", "ssh://-oProxyCommand=reboot", "ssh://a b", "ssh://a:0",
    "netns:../x", "netns:", "http://a", "tcp:0.0.0.0:22", "root", "admin", "# END GRAPPE", "# BEGIN GRAPPE",
    "COMMIT", "backend x", "a" * 64, "a" * 300, "é" * 70_000,
)  # fmt: skip
OTHERS = (None, True, False, 0, -1, 1, 4001, 10**30, 1.5, math.inf, [], {}, [[]], [None], {"": ""},
          {"a": {"b": []}}, [{"name": "yuno1"}] * 2, {"name": []})  # fmt: skip
ATOMS = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(OTHERS), st.text(max_size=40), st.integers(),
    st.dictionaries(st.sampled_from(TEXTS[:40]), st.sampled_from(TEXTS), max_size=3),
    st.lists(st.sampled_from(TEXTS), max_size=3),
)  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "student": {
        "host": "ssh://lab", "number": 7, "id": "abcdefabcdef", "student": "alice",
        "password": "only-for-this-test",
        "tunnel": {"relay": "ssh://root@relay", "forwards": [{"listen": 8080, "port": 80}]},
        "servers": [{"name": "yuno1", "volumes": [{"name": "data", "path": "/srv/data"}]},
                    {"name": "yuno2"}],
    },
    "image": {"kind": "image", "host": "ssh://lab", "id": "abcdefabcdef", "recipe": "standin"},
    "host": {"kind": "host", "host": "ssh://lab", "id": "abcdefabcdef"},
}  # fmt: skip
# Paths of values by kind: settings, those of nested groups, and unknown keys.
GROUPS = {
    ("servers", 0): settings.ServerSettings, ("servers", 0, "volumes", 0): settings.VolumeSettings,
    ("tunnel",): settings.TunnelSettings, ("tunnel", "forwards", 0): settings.ForwardSettings,
    ("quota",): settings.QuotaSettings,
}  # fmt: skip
KEYS = {
    kind: [(field.name,) for field in dataclasses.fields(made)] + [("password",), ("no such key",)]
    for kind, made in settings.KINDS.items()
}
KEYS["student"] += [
    (*path, field.name) for path, made in GROUPS.items() for field in dataclasses.fields(made)
]
# LXD's settings, which each server may override.
LXDS = (
    ("config", "user.course"), ("config", "boot.autostart"), ("config", "no.such"),
    ("limits", "memory"), ("limits", "cpu"), ("limits", "processes"), ("limits", ""),
    ("devices", "side", "type"), ("devices", "side", "listen"), ("devices", "a b", "type"),
)  # fmt: skip
KEYS["student"] += [path for path in LXDS if path[0] != "devices"]
KEYS["student"] += [("servers", 0, *path) for path in LXDS]
# A real `./lab campaign` tries thousands, and others each time.
EXAMPLES = int(os.environ.get("GRAPPE_EXAMPLES", "0"))
RESOURCES = {made.__name__: made.provider.spec for made in base.Resource.__subclasses__()}


# Outputs of surveys and of other resources.
KNOWN = {
    "address": "192.168.8.10", "relay_address": "10.9.0.1", "relay_port": 22, "user": "alice",
    "relay_key": "ssh-ed25519 AAAA", "public_key": "ssh-ed25519 AAAA", "container_id": "one",
    "fingerprint": "f" * 64,
}  # fmt: skip


class Host(Recorder):
    """Answers as the engine and a host do."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Return realistic outputs."""
        name, outputs = super().new_resource(args)
        return name, {
            key: KNOWN.get(key) if str(value).startswith(f"<{key} of") else value
            for key, value in outputs.items()
        }


@st.composite
def stack_files(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a kind and a stack file of it with one or two hostile values."""
    kind = draw(st.sampled_from(sorted(GOOD)))
    values = json.loads(json.dumps(GOOD[kind]))
    for path in draw(st.lists(st.sampled_from(KEYS[kind]), min_size=1, max_size=2, unique=True)):
        group: Any = values
        for step, following in itertools.pairwise(path):
            if isinstance(group, dict):
                group = group.setdefault(step, [] if isinstance(following, int) else {})
            elif isinstance(group, list) and isinstance(step, int) and step < len(group):
                group = group[step]
            else:
                break
        if isinstance(group, dict):
            group[path[-1]] = copy.deepcopy(draw(ATOMS))
    return kind, values


@hypothesis.settings(
    max_examples=EXAMPLES or 200, derandomize=not EXAMPLES, deadline=None, database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
@hypothesis.given(stack_files())
def test_a_hostile_value_is_refused_or_harmless(given: tuple[str, dict[str, Any]]) -> None:
    """Never a traceback; what passes is what each kind of resource takes, in one line."""
    _kind, values = given
    config = {
        f"grappe:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    secrets = ["grappe:password"] if "grappe:password" in config else []
    try:
        meant = kinds.parse(config, project="grappe", stack="alice", secrets=secrets)
        seen = _registered(meant, config, secrets)
    except problems.Mistakes as refusal:
        _demand_readable(problems.summary(refusal.mistakes))
        return
    except (errors.GrappeError, pulumi.RunError) as refusal:
        _demand_readable(str(refusal))
        return
    for name, resource in seen.items():
        spec = RESOURCES.get(name.split()[0])
        if spec is None:
            continue
        inputs = {key: _open(value) for key, value in resource["inputs"].items()}
        assert [] == codec.decode(spec, codec.clean(inputs)).mistakes(), name
        for key, value in inputs.items():
            if key not in {"script", "files", "stdin", "password", "config", "environment"}:
                _demand_one_line(value, f"{name} {key}")


def _registered(meant: Any, config: dict[str, str], secrets: list[str]) -> dict[str, Any]:
    recorder = Host()
    monitor = Monitor(recorder)
    mocks.set_mocks(recorder, preview=False, monitor=monitor)
    pulumi.runtime.set_all_config(config, secrets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "_connection", lambda _spec: None)

        @pulumi.runtime.test
        def run() -> None:
            stacks.build(meant)

        run()
    return monitor.seen


def _open(value: Any) -> Any:
    return value["secret"] if isinstance(value, dict) and value.keys() == {"secret"} else value


def _demand_one_line(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _demand_one_line(key, where)
            _demand_one_line(item, f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _demand_one_line(item, where)
    elif isinstance(value, str):
        assert not any(unicodedata.category(letter) == "Cc" for letter in value), (where, value)


def _demand_readable(text: str) -> None:
    """Assert that a terminal can show it: no control characters, no endless text."""
    assert text.strip()
    assert len(text) < 20_000
    assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in text), ascii(text[:500])
    assert "\u202e" not in text
    assert "Traceback" not in text
