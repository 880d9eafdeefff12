"""Errors, as users read them."""

from __future__ import annotations

from core import errors


def test_an_error_says_what_was_seen_and_what_to_do() -> None:
    """One line each, further lines indented, nothing left empty."""
    error = errors.NotReadyError("yuno2 is not ready", seen="one\ntwo", do="look")
    assert "yuno2 is not ready\n  seen: one\n        two\n  do: look" == str(error)
    assert "plain" == str(errors.GrappeError("plain"))


def test_other_programs_words_are_made_safe() -> None:
    """An escape sequence is shown, not obeyed."""
    assert r"a\x1b[31mb" == str(errors.GrappeError("a\x1b[31mb"))
