"""The cards of a class: a page to print, and a table."""

from __future__ import annotations

import pytest

from cli import class_new
from stacks import kinds
from views import class_cards

CARD = {
    "name": "yuno1", "domain": "yuno1.zoe.grappe.test", "address": "10.64.1.10",
    "ssh": {"host": "192.168.8.10", "port": 22222, "user": "zoe"},
    "urls": ["http://yuno1.zoe.grappe.test/"], "fingerprints": ["ED25519 SHA256:x"],
}  # fmt: skip


def test_cards_are_rendered_as_page_and_table() -> None:
    """One section per student; markup in a name is escaped."""
    lab = kinds.parse(
        {"grappe:host": "ssh://lab", "grappe:number": "1", "grappe:student": "zoe",
         "grappe:password": "abcde-fghjk"}, project="grappe", stack="tp1-zoe",
        secrets=["grappe:password"],
    )  # fmt: skip
    made = class_cards.student(lab, [CARD], name="Zoé <b>", password="abcde-fghjk")
    page = class_cards.page("tp1", [made, made])
    assert 2 == page.count("<section")
    assert "Zoé &lt;b&gt;" in page
    for text in (
        "ssh -p 22222 zoe@192.168.8.10",
        "abcde-fghjk",
        "192.168.8.10\tyuno1.zoe.grappe.test",
    ):
        assert text in page
    assert class_cards.table([made]).splitlines() == [
        "student,name,server,domain,host,port,user,password",
        "zoe,Zoé <b>,yuno1,yuno1.zoe.grappe.test,192.168.8.10,22222,zoe,abcde-fghjk",
    ]


def test_letters_of_passwords_are_not_ambiguous() -> None:
    """Passwords are read from paper: no l, I, 0 or O."""
    assert not set("lI0O") & set(class_new.LETTERS)


@pytest.mark.parametrize(("name", "cell"), [("=1+1", "'=1+1"), ("Zoé", "Zoé"), ("+cmd", "'+cmd")])
def test_name_in_the_table_is_no_formula(name: str, cell: str) -> None:
    """A cell that begins with =, +, - or @ gets an apostrophe."""
    assert cell == class_cards._no_formula(name)
