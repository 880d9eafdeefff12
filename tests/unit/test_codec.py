"""Encoding of specs for Pulumi's protocol, and decoding: floats, nulls, unknown values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import codec, problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    kind: str
    port: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(codec.Spec):
    count: int = 0
    on: bool = False
    note: str | None = None
    words: tuple[str, ...] = ()
    parts: tuple[Inner, ...] = ()
    config: Mapping[str, str] = dataclasses.field(default_factory=dict)


texts = st.text(max_size=20)
samples = st.builds(
    Sample,
    host=texts, owner=texts, name=texts, count=st.integers(-(2**53), 2**53), on=st.booleans(),
    note=st.none() | texts, words=st.lists(texts).map(tuple),
    parts=st.lists(st.builds(Inner, kind=texts, port=st.integers(0, 65535))).map(tuple),
    # The protocol keeps this key for itself.
    config=st.dictionaries(texts.filter(lambda key: key != "__provider"), texts).map(
        lambda d: dict(sorted(d.items()))
    ),
)  # fmt: skip


def through_the_protocol(value: Any) -> Any:
    """Do to a value what the protocol does: floats, and no None."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, dict):
        return {key: through_the_protocol(item) for key, item in value.items() if item is not None}
    return [through_the_protocol(item) for item in value] if isinstance(value, list) else value


@given(samples)
def test_spec_survives_the_protocol(sample: Sample) -> None:
    """decode(protocol(encode(x))) is x, whatever x holds."""
    properties = {**through_the_protocol(codec.encode(sample)), codec.PROVIDER_KEY: "gASV"}
    assert sample == codec.decode(Sample, codec.clean(properties))


def test_all_mistakes_are_found_at_once() -> None:
    """Unknown, missing and of a wrong type, nested too, each with its key."""
    bad = {
        "host": 1, "owner": "o", "cuont": 3, "on": "yes", "words": "a", "config": [],
        "parts": [{"port": True}, 5, {"kind": "x", "prot": 1}],
    }  # fmt: skip
    with pytest.raises(problems.Mistakes) as found:
        codec.decode(Sample, bad)
    assert [
        ("config", "[] is not a group of settings"),
        ("cuont", "is not a setting. Did you mean count?"),
        ("host", '1 is not a text. In quotes: "1".'),
        ("name", "is missing"),
        ("on", '"yes" is not true or false'),
        ("parts[0].kind", "is missing"),
        ("parts[0].port", "true is not a whole number"),
        ("parts[1]", "5 is not a group of settings"),
        ("parts[2].prot", "is not a setting. Did you mean port?"),
        ("words", '"a" is not a list: [a].'),
    ] == [(mistake.key, mistake.reason) for mistake in found.value.mistakes]


def test_unknown_is_found_in_nested_values() -> None:
    """In lists and groups too."""
    assert codec.has_unknown({"a": [{"b": codec.UNKNOWN}]})
    assert not codec.has_unknown({"a": [{"b": "known"}]})


def test_the_sdk_still_uses_this_sentinel() -> None:
    """The constant is the SDK's own."""
    from pulumi.runtime import rpc

    assert rpc.UNKNOWN == codec.UNKNOWN


@given(st.text())
def test_shown_value_is_safe_and_short(text: str) -> None:
    """No control character reaches a screen."""
    shown = problems.show(text)
    assert shown.isprintable()
    assert len(shown) < 700
