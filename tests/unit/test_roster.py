"""Rosters, and the labels that their names become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import labels, roster
from core import problems, validators
from core.labels import label

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgusZwmbhW7VjW8xrjTaoQ0xIgSXuqiU4Li4SHc9xe6"
MOODLE = (
    "Prénom,Nom,Numéro d'identification,Adresse de courriel,Groupe\nAdèle,Dupont,17,a@x.fr,TP1\n"
)
PRONOTE = "Élève;Classe\nDUPONT Adèle;TP1\n"
ENGLISH = "First name\tSurname\tEmail address\nAdèle\tDupont\ta@x.fr\n"
INSIDE = 'Nom;Prénom;Mail\nDupont; "Jo" Adèle;a@x.fr\n'
QUOTES = 'Nom, "Prénom", Mail\n"Dupont", "Adèle", a@x.fr\n'
SPACES = "\n;\nNom ; Prénom ;Mail\n  Dupont ;  Adèle ;a@x.fr\n;;\n"


@pytest.mark.parametrize("text", [MOODLE, PRONOTE, ENGLISH, QUOTES, SPACES])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "mac_roman"]
)
def test_roster_of_common_exports_is_read(text: str, encoding: str) -> None:
    """Comma, semicolon or tab, French or English headings, whichever way letters are written."""
    (entry,) = roster.parse(roster.decode(text.encode(encoding)))
    assert {"adele", "dupont"} == set(label(entry.name).split("-"))
    assert "TP1" == entry.group or "a@x.fr" == entry.email


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\n \n", ["is empty"]),
        ("Nom,Prénom\n", ["has headings and no student"]),
        ("Note,Date\n12,1 mai\n", ["line 1 has no column with a name", "Note, Date"]),
        (f"Nom\n{'A' * 201}\n", ["line 2 has a name of 201 letters. At most 200."]),
        ("Nom,Mail\nA,x@y\n,z@y\na,X@Y\n", ["line 3 has no name", 'line 4 "a" has the email of line 2']),
        ("Nom,Prénom\nA,B\nA,B\n", ['line 3 "B A" has the name of line 2']),
        ('Nom,INE\nA,"1,23457E+11"\nB,"1,23457E+11"\n', ["line 2 has the id 1,23457E+11", "line 3 has"]),
        ("Nom,Key\nA,hello\n", ['line 2 "hello" is not a public SSH key']),
        (f'Nom,Key\nA,"{KEY} a@x\n{KEY} b@x"\n', ["line 2", "has another key behind it"]),
        ("Nom,Mail\nDupont, Jean,x@y\nB,b@y\n", ["line 2 has 3 cells, and the headings are 2"]),
        ("Nom\n" + "".join(f"s{number}\n" for number in range(4001)), ["has 4001 students"]),
    ],
)  # fmt: skip
def test_roster_reports_all_mistakes_at_once(text: str, words: list[str]) -> None:
    """Each with its line."""
    with pytest.raises(problems.Mistakes) as found:
        roster.parse(text)
    for each in words:
        assert each in str(found.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('Nom\nZo\u00e9\n"Ad\u00e8le\nBob\nCarl\nDora\nEve\nFay\n', "line 3"),
        ('Nom,Groupe\nZo\u00e9,"A"x\n', "line 2"),
        ("Nom\n" + "x" * 140000 + "\n", "line 2"),
    ],
    ids=["no end", "text behind it", "a huge cell"],
)
def test_a_cell_that_swallows_others_is_refused(text: str, words: str) -> None:
    """The line on which it begins is named."""
    with pytest.raises(problems.Mistakes) as raised:
        roster.parse(text)
    assert [words] == [mistake.key for mistake in raised.value.mistakes]


def test_lines_of_old_macs_and_of_cells_keep_their_numbers() -> None:
    """A cell may have a line break; invisible letters are no part of a name."""
    assert ["Zoe", "Bob"] == [each.name for each in roster.parse("Nom\rZoe\rBob\r")]
    entries = roster.parse('Nom,Adresse\nZoe,"a\nb"\n\u202eBob,c\n')
    assert [("Zoe", 2), ("Bob", 4)] == [(each.name, each.line) for each in entries]


def test_xlsx_roster_is_refused() -> None:
    """It is a zip file; the error says to export it as CSV."""
    with pytest.raises(problems.Mistakes, match="export it as CSV"):
        roster.decode(b"PK\3\4\0\0\0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Adèle", "adele"), ("D'Artagnan", "d-artagnan"), ("D\u2019Artagnan", "d-artagnan"),
     ("Jean-Pierre", "jean-pierre"), ("Noé", "noe"),
     ("Łukasz Straße", "lukasz-strasse"), ("  x  ", "x"), ("3 Musketeers", "musketeers"), ("王", ""),
     ("a" * 80, "a" * 40)],
)  # fmt: skip
def test_a_name_becomes_a_label(name: str, expected: str) -> None:
    """What DNS, LXD and a stack take."""
    assert expected == label(name)


@given(
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=30), st.sets(st.text())
)
def test_labels_are_names_and_never_twice(names: list[tuple[str, str]], taken: set[str]) -> None:
    """Whatever people are called, and whoever is there already."""
    found = [each for each in labels.unique(names, taken) if each]
    assert len(set(found)) == len(found)
    assert not set(found) & taken
    assert all("" == validators.problem_of_name(each) for each in found)


def test_label_is_the_first_name_if_it_is_unique() -> None:
    """Two Zoés have their last names, and a label that is taken is left to its owner."""
    names = [("Zoé", "Martin"), ("Adèle", "Dupont"), ("Zoé", "Petit"), ("Noé", "")]
    assert ["zoe-martin", "adele-dupont", "zoe-petit", "noe-2"] == labels.unique(
        names, {"adele", "noe"}
    )


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=,"\n'])
def test_sep_line_sets_the_delimiter(first: str) -> None:
    """It is no heading, and the lines keep their numbers."""
    between = first.strip().strip('"')[-1]
    (entry,) = roster.parse(f"{first}Nom{between}Prénom\nBriand{between}Zoé\n")
    assert ("Zoé Briand", 3) == (entry.name, entry.line)


def test_name_without_a_letter_gets_a_label_of_its_own() -> None:
    """Of another script: a student like the others, with a number."""
    names = [("小明", "王"), ("Li", "王"), ("小红", "王"), ("小明", "Wang")]
    assert ["student", "li", "student-2", "wang"] == labels.unique(names, ())


@pytest.mark.parametrize("first", ["Prénom(s)", "Prénom usuel", "Prénom de l'élève"])
@pytest.mark.parametrize("email", ["Mél", "Adresse email", "Adresse électronique"])
def test_headings_of_french_schools_are_known(first: str, email: str) -> None:
    entry = roster.parse(f"Nom;{first};{email}\nDupont;Adèle;a@x.fr\n")[0]
    assert ("Adèle Dupont", "a@x.fr") == (entry.name, entry.email)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Name,Surname\nAna,Silva\n", "Ana Silva"),
        ("Nom complet;Nom\nAna Silva;Silva\n", "Ana Silva"),
        ("Nom complet;Nom\nPaul MARTIN;Martin\n", "Paul Martin"),
        ("Nom complet;Nom\nMartin Martin;Martin\n", "Martin Martin"),
        ("Nom complet;Prénom\nSILVA Ana;Ana\n", "Ana SILVA"),
        ("Nom complet;Prénom;Nom\nA. Silva;Ana;Silva\n", "Ana Silva"),
        ("Nom\nZoe\u0301\n", "Zo\u00e9"),
    ],
)
def test_no_part_of_a_name_is_lost(text: str, name: str) -> None:
    """Whichever columns have it; and letters are as most systems write them."""
    (entry,) = roster.parse(text)
    assert name == entry.name


def test_columns_that_are_not_read_are_named() -> None:
    """A person may have meant one of the known ones."""
    assert ["Sexe", "Courriel 2"] == roster.unread("Nom;Sexe;Courriel 2;;Mail\nA;F;;;\n")


def test_quotes_inside_a_text_are_part_of_it() -> None:
    (entry,) = roster.parse(INSIDE)
    assert '"Jo" Adèle Dupont' == entry.name
