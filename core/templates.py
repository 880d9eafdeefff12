"""The jinja2 templates that stand beside the code that fills them in."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

# What holds names that people chose, in markup.
ESCAPED = (".svg.j2", "cards.html.j2")


def render(beside: str, name: str, **values: Any) -> str:
    """Fill in a template; what it asks for and is not given is an error.

    Args:
        beside: `__file__` of the code that it belongs to.
        name: Its file; `.svg.j2` and `cards.html.j2` are escaped, the rest was checked by patterns.
        values: What it is filled in with.

    """
    return _environment(pathlib.Path(beside).parent).get_template(name).render(values)


@functools.cache
def _environment(folder: pathlib.Path) -> jinja2.Environment:
    # Loaded on first use: the engine starts us twice a run, and a program renders nothing.
    import jinja2  # noqa: PLC0415

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        # HAProxy refuses a file whose last line does not end.
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: (name or "").endswith(ESCAPED),  # noqa: S701 - the rest is no markup
    )
