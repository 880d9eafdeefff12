"""The language of what a student reads; `locale/` has a catalog of each language but English.

`python -m views.catalogs` brings the catalogs up to date.
"""

from __future__ import annotations

import functools
import gettext
import pathlib
from collections.abc import Mapping

from stacks.settings import LANGUAGES

ENGLISH = "en"
DOMAIN = "grappe"
FOLDER = pathlib.Path(__file__).with_name("locale")
# The variables that decide on the language of messages, the first that is set; POSIX 8.2.
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


class Message:
    """A sentence with placeholders and its values, translated when it is shown.

    The catalogs find it in the source, so write a literal: `Message("no page of {name}", name=x)`.

    Attributes:
        english: The English sentence.
        values: The values of its placeholders, which may be messages themselves.
    """

    def __init__(self, english: str, **values: str | Message) -> None:
        self.english = english
        self.values = values

    def __str__(self) -> str:
        """Return the English text."""
        return self.into(gettext.NullTranslations())

    def into(self, catalog: gettext.NullTranslations) -> str:
        """Return the text in a catalog's language."""
        # gettext returns the catalog's header for an empty text.
        text = catalog.gettext(self.english) if self.english else ""
        values = {key: shown(value, catalog) for key, value in self.values.items()}
        return text.format(**values) if values else text


def shown(value: str | Message, catalog: gettext.NullTranslations) -> str:
    """Return a text in a catalog's language; a plain string stays as it is."""
    return value.into(catalog) if isinstance(value, Message) else value


@functools.cache
def catalog(language: str) -> gettext.NullTranslations:
    """Return the catalog of one of `LANGUAGES`."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, FOLDER, [language])


def of_locale(variables: Mapping[str, str]) -> str:
    """Return the language of a locale: `fr_FR.UTF-8` is French; an unknown one gives English."""
    locale = next((variables[name] for name in VARIABLES if variables.get(name)), "")
    language = locale.partition(".")[0].partition("@")[0].partition("_")[0].lower()
    return language if language in LANGUAGES else ENGLISH
