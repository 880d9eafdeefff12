"""The language of what a student reads: English or French."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest
from babel.messages import pofile
from babel.messages.catalog import Catalog

from cli import drift
from providers.lxd.postinstall import model as postinstall
from providers.lxd.postinstall import services
from stacks import settings, spec
from views import card, catalogs, check, class_cards, language

PLACEHOLDER = re.compile(r"{\w*}")
REACHABILITY = pathlib.Path(__file__).parent.parent.parent / "remote/reachability.py"
PASSWORD = "a long password"
FRENCH = language.catalog("fr")
CARD = {
    "name": "yuno1", "domain": "yuno1.alice.grappe.test", "address": "10.64.1.10",
    "ssh": {"host": "192.168.8.10", "port": 22222, "user": "alice"},
    "urls": ["http://yuno1.alice.grappe.test/"], "fingerprints": ["ED25519 SHA256:abc"],
}  # fmt: skip
HEALTHY = {"container": "Running", "installed": True,
        **{way: {"ok": True, "seen": ""} for way in check.WAYS}}  # fmt: skip


def lab(*, password: str = PASSWORD, **changes: Any) -> spec.LabSpec:
    given = {"host": "ssh://lab", "number": 1, **changes}
    texts = {
        f"grappe:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in given.items()
    }
    texts["grappe:password"] = password
    return spec.parse(
        texts, project="grappe", stack="alice", secrets=["grappe:password"] * bool(password)
    )


def row(meant: spec.LabSpec, **changes: Any) -> check.Row:
    return check.row(meant, meant.servers[0], {**HEALTHY, **changes}, "alice")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr"}, "fr"),
        ({"LANG": "fr_BE@euro"}, "fr"),
        ({"LANG": "frp_FR.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "POSIX"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": ""}, "fr"),
    ],
)
def test_locale_gives_the_language(variables: dict[str, str], expected: str) -> None:
    """The first variable that is set decides."""
    assert expected == language.of_locale(variables)


def test_card_follows_the_setting_then_the_locale() -> None:
    """A lab's own language wins."""
    for setting, locale, expected in [
        ("fr", "en", "hôte 192.168.8.10"), ("en", "fr", "lab host 192.168.8.10"),
        ("", "fr", "hôte 192.168.8.10"), ("", "en", "lab host 192.168.8.10"),
    ]:  # fmt: skip
        assert expected in card.render(lab(language=setting), [CARD], "alice", locale)


@pytest.mark.parametrize("changes", [{}, {"password": ""}], ids=["installed", "by hand"])
def test_french_card_has_the_same_commands(changes: dict[str, str]) -> None:
    """Commands and names are those of the English one; no English sentence is left."""
    meant = lab(tunnel={"relay": "ssh://root@relay.test"}, **changes)
    french = card.render(meant, [CARD], "alice", "fr")
    english = card.render(meant, [CARD], "alice")
    commands = [line for line in english.splitlines() if line.startswith("  ")]
    for line in commands:
        assert line.replace("YOUR-USER", "VOTRE-COMPTE") in french.splitlines()
    assert max(map(len, french.splitlines())) <= 100
    left = set(english.splitlines()) & set(french.splitlines()) - {""}
    assert not left - set(commands) - {"192.168.8.10:"}


def test_french_page_of_cards_and_its_table() -> None:
    """Each student's page is in their language; the table is for programs, and stays."""
    french, english = (
        class_cards.student(lab(language=each, password=""), [CARD], name="Zoé <b>", password="")
        for each in ("fr", "en")
    )
    page = class_cards.page("tp1", [french, english])
    first, second = page.split("</section>")[:2]
    for words in ('lang="fr"', "tp1, numéro 1", "ssh -p 22222 VOTRE-COMPTE@192.168.8.10",
                  "<code>/etc/hosts</code>, ou <code>C:\\Windows", "Zoé &lt;b&gt;"):  # fmt: skip
        assert words in first
    for words in ('lang="en"', "tp1, student 1", "ssh -p 22222 YOUR-USER@192.168.8.10"):
        assert words in second
    assert class_cards.table([english]) == class_cards.table([french])
    installed = class_cards.student(lab(), [CARD], name="Zoé", password="abcde-fghjk", locale="fr")
    assert "<th>Mot de passe</th>" in class_cards.page("tp1", [installed])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"container": "absent"},
         "✗ alice/yuno1 : le conteneur est « absent » et non « running »    ./lab up alice"),
        ({"http": {"ok": False, "seen": "404: HAProxy does not know the domain"},
          "https": {"ok": False, "seen": "TimeoutError: timed out"}},
         "✗ alice/yuno1 : http : 404 : HAProxy ne connaît pas ce domaine ; "
         "https : TimeoutError: timed out    ./lab up alice ; si cela ne suffit pas : ./lab doctor alice"),
        ({"installed": False},
         "✗ alice/yuno1 : la post-installation de YunoHost n'est pas faite    ./lab up alice"),
        ({"inside": ["nginx does not run"]},
         "✗ alice/yuno1 : nginx ne tourne pas    sur l'hôte : lxc exec yuno1 "
         "--project grappe-alice -- systemctl restart nginx"),
        ({"domain": "blog.test"},
         "! alice/yuno1 : son domaine principal est maintenant blog.test : vous pouvez l'écrire dans le fichier de pile"),
    ],
)  # fmt: skip
def test_french_check_says_why(changes: dict[str, Any], line: str) -> None:
    """Fault and remedy; what other programs say, and commands, stay as they are."""
    assert line in check.render([row(lab(language="fr"), **changes)]).splitlines()


def test_french_check_counts() -> None:
    """Headings, connections, drift and the sum."""
    found = row(lab(), asked={"connections": 12, "open": 2})
    told = check.render([found], {"alice": ["Rule", "Entry", "Rule"]}, "fr").splitlines()
    heads = "élève  serveur  conteneur  ssh  http  https  installé  connexions"
    assert heads == told[0]
    assert "oui       12, dont 2 en cours" in told[1]
    assert told[2:] == [
        "! alice : dérive : 1 entrée, 2 règles ; pour en savoir plus : ./lab preview alice",
        "Élèves sans problème : 1 sur 1.",
    ]


def test_check_of_a_class_is_in_one_language() -> None:
    """In that of its labs, if they agree; else in the locale's."""
    french, english, unset = (row(lab(language=each)) for each in ("fr", "en", ""))
    for rows, locale, expected in [
        ([french, french], "en", "élève"), ([english], "fr", "student"),
        ([french, english], "fr", "élève"), ([french, unset], "en", "student"),
    ]:  # fmt: skip
        assert check.render(rows, None, locale).startswith(expected)


def test_check_as_json_stays_english() -> None:
    """Whatever the language."""
    changes = {"container": "absent", "domain": "blog.test", "asked": {"connections": 1, "open": 0}}
    french = check.as_json(row(lab(language="fr"), **changes))
    assert check.as_json(row(lab(), **changes)) == french
    assert french == {
        "student": "alice", "server": "yuno1", "container": "absent", "ssh": "ok", "http": "ok",
        "https": "ok", "installed": "yes", "asked": "1, 0 open", "well": False,
        "why": "the container is absent, not running", "do": "./lab up alice",
        "note": "its main domain is blog.test now; the stack file may name it",
    }  # fmt: skip
    assert list(french)[:8] == list(check.HEADS)
    assert json.dumps(french)


def test_every_report_of_a_fault_has_a_french_text() -> None:
    """Those of the workstation's checks, of a post-installation, and of what runs in a server."""
    reports = re.findall(r'f?"! ([^"]+)"', REACHABILITY.read_text())
    reports.append(
        "something other than the lab answers: a program that does not give its name, 200"
    )
    reports += postinstall.DRIFTS.values()
    reports += [
        line for line in re.findall(r'echo "([^"]+)"', services.inspection()[2]) if " " in line
    ]
    assert len(reports) >= 10
    for report in reports:
        found = check.report(report)
        assert isinstance(found, language.Message), report
        assert report == str(found)
        assert report != found.into(FRENCH)


def test_every_kind_that_drifts_is_counted() -> None:
    """One and many, in both languages."""
    kinds = [kind.rpartition(":")[2] for kind in drift.KINDS]
    for locale in settings.LANGUAGES:
        for count in (1, 2):
            told = check.render([row(lab())], {"alice": kinds * count}, locale)
            (line,) = [line for line in told.splitlines() if line.startswith("! ")]
            assert len(kinds) == len(re.findall(rf"\b{count} \w+", line))


def test_empty_text_is_translated_to_itself() -> None:
    """gettext keeps a catalog's description under the empty text."""
    assert "" == language.Message("").into(FRENCH)


@pytest.fixture(params=catalogs.TRANSLATED)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    """A catalog as it lies in its file."""
    with catalogs.path_of(request.param).open("rb") as file:
        return pofile.read_po(file, locale=request.param)


def test_catalog_has_every_sentence(catalog: Catalog) -> None:
    """Each is translated, none is a guess, and each keeps its placeholders."""
    assert len(catalog) > 40
    for message in catalog:
        if not message.id:
            continue
        assert not message.fuzzy, message.id
        ids = [message.id] if isinstance(message.id, str) else message.id
        texts = [message.string] if isinstance(message.string, str) else message.string
        for text in texts:
            assert text, message.id
            assert sorted(PLACEHOLDER.findall(ids[0])) == sorted(PLACEHOLDER.findall(text))


def test_catalog_fits_the_sources(catalog: Catalog) -> None:
    """`python -m views.catalogs` would write what is there."""
    path, made = catalogs.path_of(str(catalog.locale)), catalogs.updated(str(catalog.locale))
    assert path.read_bytes() == catalogs.source(made)
    assert path.with_suffix(".mo").read_bytes() == catalogs.compiled(made)
