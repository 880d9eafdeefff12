"""Bring the catalogs up to date with the sources: `python -m views.catalogs`.

It adds new sentences to each `.po` without a translation, drops those that no source has, and
compiles the `.mo` that `views.language` reads.
"""

from __future__ import annotations

import io
import pathlib

from babel.messages import extract, mofile, pofile
from babel.messages.catalog import Catalog

from stacks.settings import LANGUAGES
from views import language

SOURCES = pathlib.Path(__file__).parent
METHODS = [("*.py", "python"), ("class_cards.html.j2", "jinja2")]
KEYWORDS = {"_": None, "Message": None, "ngettext": (1, 2)}
TRANSLATED = tuple(each for each in LANGUAGES if each != language.ENGLISH)


def path_of(name: str) -> pathlib.Path:
    """Return the path of a language's catalog; its compiled form lies beside it."""
    return language.FOLDER / name / "LC_MESSAGES" / f"{language.DOMAIN}.po"


def updated(name: str) -> Catalog:
    """Return a language's catalog with the sentences of the sources."""
    sources = Catalog()
    for file, line, message, comments, context in extract.extract_from_dir(
        SOURCES, METHODS, keywords=KEYWORDS
    ):
        sources.add(message, None, [(file, line)], auto_comments=comments, context=context)
    with path_of(name).open("rb") as file_:
        catalog = pofile.read_po(file_, locale=name)
    # A sentence that looks like an older one is another sentence.
    catalog.update(sources, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    return catalog


def source(catalog: Catalog) -> bytes:
    """Return a catalog as a `.po` file has it."""
    text = io.BytesIO()
    pofile.write_po(text, catalog, width=100, include_lineno=False)
    return text.getvalue()


def compiled(catalog: Catalog) -> bytes:
    """Return a catalog as a `.mo` file has it."""
    content = io.BytesIO()
    mofile.write_mo(content, catalog)
    return content.getvalue()


if __name__ == "__main__":
    for each in TRANSLATED:
        made = updated(each)
        path_of(each).write_bytes(source(made))
        path_of(each).with_suffix(".mo").write_bytes(compiled(made))
