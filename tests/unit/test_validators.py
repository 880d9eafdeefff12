"""Validators: an accepted value is safe in any configuration file and on any command line."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import validators

SAFE = set(string.ascii_letters + string.digits + "-._")
# Texts that are near to what is accepted, with the syntax of shells and configurations in them.
texts = st.text(alphabet="aZ09-._ \n\t;|&$`'\"{}()#*!/\\:é\x1b", max_size=70)


@given(
    texts,
    st.sampled_from(
        [
            validators.problem_of_name,
            validators.problem_of_domain,
            validators.problem_of_comment,
            validators.problem_of_alias,
            validators.problem_of_ipv4,
        ]
    ),
)
def test_accepted_value_holds_no_syntax(text: str, rule: object) -> None:
    """No space, line break, quote or sign of a shell, of HAProxy or of iptables."""
    if rule(text) == "":  # type: ignore[operator]
        assert text
        assert set(text) <= SAFE


@given(st.integers())
def test_ports_from_1_to_65535_are_accepted(value: int) -> None:
    """1 to 65535."""
    assert (validators.problem_of_port(value) == "") is (1 <= value <= 65535)


@pytest.mark.parametrize("good", ["yuno1", "a", "a-b", "a" * 63])
def test_valid_names_are_accepted(good: str) -> None:
    """Letters, digits and dashes."""
    assert "" == validators.problem_of_name(good)


@pytest.mark.parametrize(
    ("bad", "hint"), [("yuno 2", '"yuno-2"?'), ("2yuno", '"yuno"?'), ("a_b", '"a-b"?')]
)
def test_invalid_name_gets_a_proposal(bad: str, hint: str) -> None:
    """The nearest name that would do."""
    assert validators.problem_of_name(bad).endswith(hint)


@pytest.mark.parametrize("bad", ["", "-a", "a-", "a" * 64, "a.b"])
def test_invalid_names_are_refused(bad: str) -> None:
    """What LXD and DNS would refuse later."""
    assert validators.problem_of_name(bad)


@pytest.mark.parametrize("good", ["a.b", "yuno1.alice.grappe.test", "1a.2b.c3"])
def test_valid_domains_are_accepted(good: str) -> None:
    """At least two labels."""
    assert "" == validators.problem_of_domain(good)


@pytest.mark.parametrize("bad", ["a", "a..b", ".a.b", "a.b.", "a.1", "a_b.c", "x" * 250 + ".com"])
def test_invalid_domains_are_refused(bad: str) -> None:
    """Too short, too long, empty labels."""
    assert validators.problem_of_domain(bad)
