"""The managed part of a shared file: put and remove keep the rest byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote import managed_block

# Files of people, which do not hold our marks; every kind of line end may be in them.
files = st.text(alphabet="ab# \t\r\n\x0c\x1c\u2028é", max_size=60)
bodies = st.lists(st.text(alphabet="xy -:", max_size=10), max_size=5).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@given(files, bodies, st.booleans())
def test_putting_and_removing_leaves_the_file(text: str, body: str, top: bool) -> None:
    """remove(put(x)) is x, with and without a last line break, at the end and below the top."""
    assert text == managed_block.remove(managed_block.put(text, body, at_top=top))


@given(files, bodies, bodies)
def test_put_replaces_the_earlier_body(text: str, first: str, second: str) -> None:
    """put(put(x, a), b) is put(x, b), and putting the same again changes nothing."""
    once = managed_block.put(text, second)
    assert once == managed_block.put(managed_block.put(text, first), second)
    assert once == managed_block.put(once, second)


@given(files, bodies, files)
def test_lines_added_below_the_part_stay(text: str, body: str, added: str) -> None:
    """Lines below the part survive it."""
    put = managed_block.put(text, body) + added
    found = managed_block.split(put)
    assert (body, added) == (found.body, found.after)


def test_a_file_made_for_the_part_goes_with_it() -> None:
    """Where there was no file there is none after."""
    assert managed_block.remove(managed_block.put(None, "a\n")) is None
    assert managed_block.remove(None) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("# END GRAPPE\n", ""),
        lambda text: text.replace("# BEGIN GRAPPE (changed by Grappe alone)\n", ""),
        lambda text: text + text,
        lambda text: text.replace("(changed by Grappe alone)", ""),
        lambda text: text.replace("# END GRAPPE", "# END GRAPPE?"),
    ],
)
def test_damaged_part_is_refused(damage: object) -> None:
    """One end lost, twice there, or a changed mark."""
    text = managed_block.put("before\n", "body\n")
    with pytest.raises(managed_block.DamagedError):
        managed_block.split(damage(text))  # type: ignore[operator]


def test_windows_line_endings_are_reported() -> None:
    """An editor has converted the whole file."""
    text = managed_block.put("first\n", "ours\n").replace("\n", "\r\n")
    with pytest.raises(managed_block.DamagedError, match="as on Windows"):
        managed_block.split(text)
