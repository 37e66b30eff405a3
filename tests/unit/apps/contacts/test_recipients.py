"""Whom somebody means: exactly one person, or suggestions and nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import Contact
from dexmesh.apps.contacts.recipients import Suggestions
from dexmesh.wire.keys import decode_key
from tests.unit.apps.contacts.samples import (
    BOB_LITERAL,
    BOB_PADDED,
    BOB_SHORT,
    STUART,
    STUART_KEY,
    STUART_LITERAL,
    bob,
    book_in,
    stuart,
)

STUARTS = Mailbox("stuart", STUART_LITERAL, "Stuart Cheshire")


@pytest.mark.parametrize(
    "text",
    [
        "stuart",
        "STUART",
        " stuart cheshire ",
        STUART_KEY,
        STUART_KEY.upper(),
        STUART_KEY.replace(".k", ".cjdns.alt"),
        STUART_LITERAL,
        STUART_LITERAL[6:-1],
        f"stuart@{STUART_LITERAL}",
        "stuart@stuart",
        "stuart@stuart.cjdns.alt",
    ],
)
def test_every_way_to_name_a_contact_gives_his_mailbox(tmp_path: Path, text: str) -> None:
    assert book_in(tmp_path, stuart(), bob()).resolve_recipient(text) == STUARTS


def test_addresses_of_strangers_are_taken_as_they_are(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    assert book.resolve_recipient("x@[IPv6:fc00:0::7]") == Mailbox("x", "[IPv6:fc00:0::7]")
    spelt = f'"Bob B." <bob@"[IPv6:{BOB_PADDED}]">'
    assert book.resolve_recipient(spelt) == Mailbox("bob", f"[IPv6:{BOB_PADDED}]", "Bob B.")
    assert book.resolve_recipient("alice@bob") == Mailbox("alice", BOB_LITERAL)


def test_the_spelling_in_the_book_is_the_one_mail_goes_to(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob(domain=f"[IPv6:{BOB_PADDED}]"))
    assert book.resolve_recipient("bob") == Mailbox("bob", f"[IPv6:{BOB_PADDED}]")
    assert book.resolve_recipient(BOB_SHORT) == Mailbox("bob", f"[IPv6:{BOB_PADDED}]")


def test_somebody_known_by_his_key_alone_gets_mail_under_his_petname(tmp_path: Path) -> None:
    book = book_in(tmp_path, Contact("stu", keys=(decode_key(STUART_KEY),)))
    assert book.resolve_recipient("stu") == Mailbox("stu", STUART_KEY)
    assert book.petname_of(STUART) == "stu"


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (f"bob@[{BOB_PADDED}]", (f"bob@{BOB_LITERAL}",)),
        (f"x@{BOB_SHORT}", (f"x@{BOB_LITERAL}",)),
        ("stuartt", ("stuart",)),
        ("che", ("stuart",)),
        ("alice@stuartt", ("alice@stuart",)),
        ("nobody-like-that", ()),
        ("x@example.org", ()),
        ("x@[IPv6:2001:db8::1]", ()),
        ("a b c <", ()),
        ("fc00::99", ("NAME@[IPv6:fc00::99]",)),
        ("", ()),
        ("x" * 2000, ()),
    ],
)
def test_who_is_not_named_exactly_is_only_suggested(
    tmp_path: Path, text: str, instead: tuple[str, ...]
) -> None:
    meant = book_in(tmp_path, stuart(), bob()).resolve_recipient(text)
    assert isinstance(meant, Suggestions)
    assert meant.instead == instead
    assert str(meant.error())
    assert meant.hint


def test_of_two_people_with_one_name_or_node_nobody_is_chosen(tmp_path: Path) -> None:
    twin = replace(stuart("twin"), mails=(Mailbox("twin", STUART_KEY),))
    book = book_in(tmp_path, stuart(), twin)
    for text in ("Stuart Cheshire", STUART_KEY):
        meant = book.resolve_recipient(text)
        assert isinstance(meant, Suggestions)
        assert meant.instead == ("stuart", "twin")


def test_a_contact_without_a_mesh_address_cannot_be_written_to(tmp_path: Path) -> None:
    book = book_in(tmp_path, Contact("old", mails=(Mailbox("old", "example.org"),)))
    meant = book.resolve_recipient("old")
    assert isinstance(meant, Suggestions)
    assert meant.reason == "no mesh address of old is known"
