"""Render the jinja2 templates that lie beside the code that uses them."""

from __future__ import annotations

import functools
import pathlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

# Templates that put names chosen by people into markup.
ESCAPED = (".svg.j2", "class_cards.html.j2")


def render(beside: str, name: str, **values: Any) -> str:
    """Fill in a template; a missing value is an error.

    Args:
        beside: `__file__` of the code that uses it.
        name: Its file; those in ESCAPED are escaped, patterns have checked the rest.
        values: The values to fill in.
    """
    # jinja2 compiles a template once for each thread that asks before the first is done.
    with _loading:
        template = _environment(pathlib.Path(beside).parent).get_template(name)
    return template.render(values)


_loading = threading.Lock()


@functools.cache
def _environment(folder: pathlib.Path) -> jinja2.Environment:
    # Loaded on first use: the engine starts us twice a run, and a program renders nothing.
    import jinja2  # noqa: PLC0415

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        auto_reload=False,
        # HAProxy refuses a file whose last line has no line break.
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: (name or "").endswith(ESCAPED),  # noqa: S701 - the rest is no markup
    )
