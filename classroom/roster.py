"""Read a roster, an export of Moodle, Pronote or a spreadsheet, into students; pure.

It accepts commas, semicolons or tabs; UTF-8 with or without a BOM, UTF-16, or Windows' or an
old Mac's encoding; headings in French or English.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterator

from core import labels, problems, validators
from core.names import MAX_NUMBER

# The exports' headings by field, without accents and case.
HEADINGS = {
    "first": ("prenom", "first name", "firstname", "given name", "prenoms",
              "prenom(s)", "prenom usuel", "prenom de l'eleve"),
    "last": ("nom", "nom de famille", "last name", "lastname", "surname", "family name"),
    "name": ("nom complet", "full name", "fullname", "name", "eleve", "etudiant", "student",
             "nom et prenom", "nom prenom", "eleves", "etudiants"),
    "email": ("adresse de courriel", "courriel", "email", "e-mail", "email address", "mail",
              "adresse e-mail", "adresse mail", "adresse email", "mel", "adresse mel",
              "adresse electronique"),
    "id": ("numero d'identification", "id number", "id", "identifiant", "numero", "ine",
           "numero etudiant", "student id"),
    "group": ("groupe", "group", "groupes", "groups", "classe", "class"),
    "key": ("cle publique", "public key", "cle ssh", "ssh key", "key", "cle", "cle publique ssh",
            "ssh public key"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a roster.

    Attributes:
        line: Its number in the file.
        first: The first name; or the whole name, if the roster has one column for it.
        last: The last name, if it has a column of its own.
        email: An address, or nothing.
        id: The school's number of the student, or nothing.
        group: The group, or nothing.
        key: A public SSH key, or nothing.
    """

    line: int
    first: str
    last: str = ""
    email: str = ""
    id: str = ""
    group: str = ""
    key: str = ""

    @property
    def name(self) -> str:
        """The whole name, as people write it."""
        return f"{self.first} {self.last}".strip()


# Bytes of French accented letters in Mac Roman; those of Windows-1252 begin at 0xC0.
_ACCENTS_OF_MACS = bytes((0x87, 0x88, 0x89, 0x8A, 0x8D, 0x8E, 0x8F, 0x90))
_ACCENTS_OF_WINDOWS = 0xC0


def decode(content: bytes) -> str:
    """Return the text of an export.

    Raises:
        problems.Mistakes: The content is no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        # A text without a byte order mark, whose Latin letters have a zero beside each.
        if content[offset::2].count(0) > len(content) / 3:
            return content.decode(encoding, "replace")
    if b"\0" in content:
        raise problems.Mistakes(
            [problems.Mistake("roster", "is not a text: export it as CSV, not as a spreadsheet.")]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # A French text in Mac Roman has its accents in bytes that Windows-1252 hardly uses.
        mac = sum(content.count(byte) for byte in _ACCENTS_OF_MACS)
        windows = sum(byte >= _ACCENTS_OF_WINDOWS for byte in content)
        return content.decode("mac_roman" if mac > windows else "cp1252", "replace")


def parse(text: str) -> list[Entry]:
    """Return the students of a roster.

    Raises:
        problems.Mistakes: All mistakes in it, by line.
    """
    rows = _rows(text)
    filled = [
        (number, row) for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row)
    ]
    if not filled:
        raise problems.Mistakes([problems.Mistake("roster", "is empty.")])
    (start, heads), *lines = filled
    columns = _columns(heads)
    if not columns.keys() & {"first", "last", "name"}:
        reason = f"has no column with a name. Its headings: {', '.join(heads)[:80]}. Known: "
        reason += "Nom, Prénom, Nom complet, First name, Last name, Full name."
        raise problems.Mistakes([problems.Mistake(f"line {start}", reason)])
    entries = [_entry(number, row, columns) for number, row in lines]
    mistakes = [
        problems.Mistake(
            f"line {number}",
            f"has {len(row)} cells, and the headings are {len(heads)}: text with a comma, a "
            "semicolon or a tab in it stands in quotes.",
        )
        for number, row in lines
        if any(cell.strip() for cell in row[len(heads) :])
    ]
    mistakes += _mistakes(entries)
    if not entries:
        mistakes.append(problems.Mistake("roster", "has headings and no student."))
    if len(entries) > MAX_NUMBER:
        reason = f"has {len(entries)} students: a lab host has numbers for {MAX_NUMBER}."
        mistakes.append(problems.Mistake("roster", reason))
    if mistakes:
        raise problems.Mistakes(mistakes)
    return entries


def unread(text: str) -> list[str]:
    """Return the headings of columns that a readable roster has for nothing."""
    heads = next(row for row in _rows(text) if any(cell.strip() for cell in row))
    return [head.strip() for head in heads if head.strip() and not _columns([head])]


def _rows(text: str) -> list[list[str]]:
    """Split a text into rows and cells.

    Raises:
        problems.Mistakes: A quote is not closed, and would swallow the lines below.
    """
    text = "\n".join(text.replace("\r\n", "\n").split("\r"))
    # Empty the line that names the delimiter; keep it, so that the others keep their numbers.
    rest, delimiter = _SEP.sub("", text), _delimiter(text)
    try:
        # A quote may stand behind a space: `Durand, "Zoé"`.
        return _split(rest, delimiter, skipinitialspace=True)
    except problems.Mistakes:
        # As a part of a text: `Durand; "Jo" Marie`.
        return _split(rest, delimiter, skipinitialspace=False)


def _split(text: str, delimiter: str, *, skipinitialspace: bool) -> list[list[str]]:
    lines = csv.reader(
        io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=skipinitialspace
    )
    rows: list[list[str]] = []
    begun = 1
    try:
        for row in lines:
            _demand_short(row)
            rows.append(row)
            # A row has the number of its first line; empty rows keep the numbers of those below.
            rows += [[]] * (lines.line_num - begun)
            begun = lines.line_num + 1
    except csv.Error as error:
        reason = f"has a quote that is not closed, or text behind a closed one ({error})."
        raise problems.Mistakes([problems.Mistake(f"line {begun}", reason)]) from error
    return rows


def _demand_short(row: list[str]) -> None:
    if any(cell.count("\n") > MOST_BREAKS for cell in row):
        raise csv.Error("a cell goes on over many lines")


# Letters of a name; more are a file read with the wrong delimiter.
MOST_LETTERS = 200
# Line breaks in a cell: an address may have some; more are a quote that nobody closed.
MOST_BREAKS = 4
# The line in which a spreadsheet names its delimiter.
_SEP = re.compile(r"\A\s*\"?sep=(.)\"?[ \t]*(?=\r?\n)")


def _delimiter(text: str) -> str:
    if line_of_delimiter := _SEP.match(text):
        return line_of_delimiter.group(1)
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


def _columns(heads: list[str]) -> dict[str, int]:
    """Return the column of each field; the first of several."""
    columns: dict[str, int] = {}
    for index, head in enumerate(heads):
        plain = labels.unaccented(head.strip()).replace("\u2019", "'").rstrip(" .:")
        for field, known in HEADINGS.items():
            if plain in known:
                columns.setdefault(field, index)
    return columns


def _entry(number: int, row: list[str], columns: dict[str, int]) -> Entry:
    cells = {
        field: " ".join(_visible(row[index]).split()) if index < len(row) else ""
        for field, index in columns.items()
    }
    whole = cells.pop("name", "")
    for field, other in (("first", "last"), ("last", "first")):
        # Beside a column for one part, the whole name or `Name` has the other.
        if cells.get(other) and not cells.get(field):
            cells[field] = _without(whole, cells[other])
    if not cells.get("first") and not cells.get("last"):
        # Pronote and others write the last name in capitals, before the first name.
        cells["first"] = whole
    elif not cells.get("first"):
        cells["first"], cells["last"] = cells["last"], ""
    return Entry(line=number, **cells)


def _without(whole: str, part: str) -> str:
    """Return a whole name without one of its parts."""
    words = whole.split()
    folded = [word.casefold() for word in words]
    for word in part.casefold().split():
        if word in folded:
            index = folded.index(word)
            del words[index], folded[index]
    return " ".join(words)


def _visible(text: str) -> str:
    """Return a text without characters that only change how the others are shown."""
    unseen = ("Cf", "Cc")
    # A Mac writes é as e and an accent.
    return "".join(
        letter for letter in unicodedata.normalize("NFC", text)
        if letter.isspace() or unicodedata.category(letter) not in unseen
    )  # fmt: skip


# A long number as a spreadsheet shows it: 1,23457E+11.
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d+")


def _mistakes(entries: list[Entry]) -> Iterator[problems.Mistake]:
    """Yield the lines' mistakes: a missing name, a repeated student, an invalid key."""
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = f"line {entry.line}"
        if not entry.name:
            yield problems.Mistake(key, "has no name.")
            continue
        if len(entry.name) > MOST_LETTERS:
            reason = f"has a name of {len(entry.name)} letters. At most {MOST_LETTERS}."
            yield problems.Mistake(key, reason)
        if _SHORTENED.fullmatch(entry.id):
            reason = f"has the id {entry.id}, a number that the spreadsheet shortened: make the "
            yield problems.Mistake(key, f"{reason}column a text there, and export it again.")
            continue
        # Twins may share an address of their parents.
        whom = {"id": entry.id, "email": entry.email and f"{entry.email} {entry.name}".casefold()}
        if not entry.id and not entry.email:
            whom["name"] = entry.name.casefold()
        for field, text in whom.items():
            if not text:
                continue
            if first := seen.get((field, text)):
                reason = f"{problems.show(entry.name)} has the {field} of line {first}."
                reason += " Take one line out; or give two people an id or an e-mail each."
                yield problems.Mistake(key, reason)
            seen.setdefault((field, text), entry.line)
        if entry.key and (problem := validators.problem_of_public_key(entry.key)):
            shown = problems.show(validators.show_public_key(entry.key))
            yield problems.Mistake(key, f"{shown} {problem}")
